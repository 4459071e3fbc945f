//! Plex: every event, and the items it describes.

use serde_json::json;
use watchstate_domain::ids::{Ids, Kind, Provider};
use watchstate_domain::item::{Item, ItemState, ServerKind, ShowRef};
use watchstate_domain::notice::{Notice, What};

use super::{ids, missing, parsed, seed, stamp, teller, told, what, with};

const SERVER: &str = "f693c89ab37525076202431c3069b47f260e1ef1";

#[test]
fn an_episode_that_stops_tells_its_position_and_what_the_item_is() {
    let expected = Notice {
        event: "media.stop".to_owned(),
        server_id: Some(SERVER.to_owned()),
        account: Some(teller("1", "Anna")),
        sent_at: None,
        item: Some(Item {
            remote_id: "298572".to_owned(),
            kind: Kind::Episode,
            title: "The \"Second\" Lamp".to_owned(),
            show: Some(ShowRef {
                remote_id: Some("294795".to_owned()),
                title: "The Lighthouse Keepers".to_owned(),
                ids: ids(&[(Provider::Plex, "show/5d9c086c02391c001f5891bf")]),
            }),
            year: None,
            season: Some(7),
            episode: Some(11),
            episode_end: None,
            ids: ids(&[
                (Provider::Imdb, "tt9844522"),
                (Provider::Tmdb, "1822432"),
                (Provider::Tvdb, "7184320"),
                (Provider::Plex, "episode/5d9c1278e264b7001fcaab4c"),
            ]),
            junk_ids: 0,
            path: None,
            runtime_ms: Some(2_592_000),
            added_at: Some(stamp("2021-04-09T20:26:40Z")),
            state: ItemState::default(),
        }),
        library_id: Some("4".to_owned()),
        what: What::Position { position_ms: 2_431_000 },
    };
    assert_eq!(told(&parsed(seed!("plex/episode-stop.json"))), (ServerKind::Plex, expected));
}

#[test]
fn every_event_says_what_happened() {
    let episode = parsed(seed!("plex/episode-stop.json"));
    let position = What::Position { position_ms: 2_431_000 };
    let table = [
        ("media.scrobble", What::Finished),
        ("media.pause", position),
        ("media.stop", position),
        ("media.play", What::Started),
        ("media.resume", What::Started),
        ("playback.started", What::Started),
        ("media.rate", What::Rated),
        ("library.new", What::Added),
        ("library.on.deck", What::Other),
        ("admin.database.backup", What::Other),
        ("something.new", What::Other),
    ];
    for (event, expected) in table {
        let (_, notice) = told(&with(&episode, json!({"event": event})));
        assert_eq!((notice.event.as_str(), notice.what), (event, expected));
        assert_eq!(notice.item.map(|item| item.remote_id).as_deref(), Some("298572"), "{event}");
        assert_eq!(notice.account, Some(teller("1", "Anna")), "{event}");
    }
}

#[test]
fn a_stop_without_a_position_tells_nothing() {
    let film = parsed(seed!("plex/film-scrobble.json"));
    assert_eq!(what(&film), What::Finished);
    assert_eq!(told(&film).1.account, Some(teller("47431022", "Ben")));
    for offset in [json!(null), json!(-1), json!("soon"), json!([7]), json!(1e300)] {
        let stop = with(&film, json!({"event": "media.stop", "Metadata": {"viewOffset": offset}}));
        assert_eq!(what(&stop), What::Other, "{offset}");
    }
    let stop = with(&film, json!({"event": "media.stop", "Metadata": {"viewOffset": "61000"}}));
    assert_eq!(what(&stop), What::Position { position_ms: 61_000 });
}

#[test]
fn music_and_events_without_an_item_have_no_bearing() {
    let track = told(&parsed(seed!("plex/track-play.json"))).1;
    assert_eq!((track.item, track.what, track.library_id.as_deref()), (None, What::Other, Some("3")));
    let season = with(&parsed(seed!("plex/legacy-episode-new.json")), json!({"Metadata": {"type": "season"}}));
    assert_eq!(told(&season).1.item, None);
    assert_eq!(what(&season), What::Other);
    let device = told(&parsed(seed!("plex/device-new.json"))).1;
    assert_eq!((device.item, device.what, device.library_id), (None, What::Other, None));
}

#[test]
fn a_legacy_agent_and_numbers_as_text_are_read() {
    let notice = told(&parsed(seed!("plex/legacy-episode-new.json"))).1;
    assert_eq!((notice.what, notice.library_id.as_deref()), (What::Added, Some("4")));
    let item = notice.item.unwrap();
    assert_eq!((item.remote_id.as_str(), item.season, item.episode), ("571288", Some(3), Some(9)));
    assert_eq!((&item.ids, item.runtime_ms), (&Ids::default(), Some(3_180_000)));
    assert_eq!(item.show.unwrap().ids, ids(&[(Provider::Tvdb, "121361")]));
}

#[test]
fn lists_that_are_none_leave_the_rest_readable() {
    let film = parsed(seed!("plex/film-scrobble.json"));
    for odd in [json!("imdb://tt1"), json!({"id": 1}), json!(["imdb://tt1"]), json!([null]), json!(7)] {
        let patch = json!({"Metadata": {"Guid": odd, "Media": odd, "User": odd, "Genre": odd, "title": odd}});
        let item = told(&with(&film, patch)).1.item.unwrap();
        assert_eq!(item.ids, ids(&[(Provider::Plex, "movie/5d776825880197001ec90e6f")]), "{odd}");
    }
    let junk = json!({"Metadata": {"Guid": [{"id": "imdb://none"}, {"id": 7}, {}, {"id": "tmdb://603"}]}});
    let item = told(&with(&film, junk)).1.item.unwrap();
    assert_eq!((item.ids.get(Provider::Tmdb), item.ids.get(Provider::Imdb), item.junk_ids), (Some("603"), None, 1));
}

#[test]
fn what_is_missing_is_named() {
    let film = parsed(seed!("plex/film-scrobble.json"));
    let table = [
        (json!({"Server": null}), Some("Server.uuid")),
        (json!({"Server": {"uuid": ""}}), Some("Server.uuid")),
        (json!({"Account": null}), Some("Account.id")),
        (json!({"Metadata": null}), Some("Metadata")),
        (json!({"Metadata": {"ratingKey": null}}), Some("Metadata.ratingKey")),
        (json!({"Metadata": {"type": null}}), Some("Metadata.type")),
        (json!({"Account": {"id": null}}), None),
        (json!({"event": "library.new", "Account": null}), None),
        (json!({"event": "library.on.deck", "Account": null, "Server": null, "Metadata": {"ratingKey": null}}), None),
    ];
    for (patch, field) in table {
        let payload = with(&film, patch.clone());
        assert_eq!(missing(&payload), field.map(|field| (ServerKind::Plex, field)), "{patch}");
    }
    let unnamed = told(&with(&film, json!({"Account": {"id": null}}))).1;
    assert_eq!(unnamed.account, Some(teller("", "Ben")));
}
