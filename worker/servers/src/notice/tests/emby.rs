//! Emby: every event, and which part of the payload is believed.

use serde_json::json;
use watchstate_domain::ids::{Kind, Provider};
use watchstate_domain::item::{Item, ItemState, ServerKind, ShowRef};
use watchstate_domain::notice::{Cause, Notice, What};

use super::{ids, missing, parsed, read, seed, stamp, teller, told, what, with};

const USER: &str = "aac3a78d9f184ea480fb1629e76aad57";
const SERVER: &str = "15596ac9bbc24127b9f01db6f33630c7";

#[test]
fn an_episode_that_stops_tells_its_own_position_not_that_of_the_next() {
    let expected = Notice {
        event: "playback.stop".to_owned(),
        server_id: Some(SERVER.to_owned()),
        account: Some(teller(USER, "anna")),
        sent_at: Some(stamp("2025-06-13T17:17:34.688222Z")),
        item: Some(Item {
            remote_id: "87146".to_owned(),
            kind: Kind::Episode,
            title: "The Second Lamp".to_owned(),
            show: Some(ShowRef {
                remote_id: Some("87000".to_owned()),
                title: "The Lighthouse Keepers".to_owned(),
                ids: ids(&[]),
            }),
            year: None,
            season: Some(7),
            episode: Some(11),
            episode_end: Some(12),
            ids: ids(&[(Provider::Imdb, "tt9844522"), (Provider::Tvdb, "7184320")]),
            junk_ids: 0,
            path: Some("/data/media/tv/The Lighthouse Keepers/S07E11-E12.mkv".to_owned()),
            runtime_ms: Some(2_592_000),
            added_at: Some(stamp("2020-01-11T07:13:40Z")),
            state: ItemState::default(),
        }),
        library_id: None,
        what: What::Position { position_ms: 1_201_500 },
    };
    assert_eq!(told(&parsed(seed!("emby/episode-stop.json"))), (ServerKind::Emby, expected));
}

#[test]
fn every_event_says_what_happened() {
    let stop = parsed(seed!("emby/episode-stop.json"));
    let position = What::Position { position_ms: 1_201_500 };
    let table = [
        ("playback.stop", position),
        ("playback.pause", position),
        ("playback.start", What::Started),
        ("playback.unpause", What::Started),
        ("playback.scrobble", What::Finished),
        ("item.markplayed", What::MarkedPlayed),
        ("item.markunplayed", What::MarkedUnplayed),
        ("item.rate", What::Rated),
        ("item.addedtofavorites", What::Rated),
        ("item.removedfromfavorites", What::Rated),
        ("item.markfavorite", What::Rated),
        ("item.unmarkfavorite", What::Rated),
        ("item.favorited", What::Rated),
        ("item.unfavorited", What::Rated),
        ("item.favorite", What::Rated),
        ("item.unfavorite", What::Rated),
        ("library.new", What::Added),
        ("library.deleted", What::Other),
        ("system.notificationtest", What::Test),
        ("system.webhooktest", What::Test),
        ("user.authenticated", What::Other),
        ("something.new", What::Other),
    ];
    for (event, expected) in table {
        assert_eq!(what(&with(&stop, json!({"Event": event}))), expected, "{event}");
    }
    let table = [
        (json!({"PlayedToCompletion": true}), What::Finished),
        (json!({"PlayedToCompletion": "true"}), What::Finished),
        (json!({"PlayedToCompletion": false}), position),
        (json!({"PositionTicks": null}), What::Other),
        (json!({"PositionTicks": "12015000000"}), position),
        (json!(7), What::Other),
        (json!(null), What::Other),
    ];
    for (playback, expected) in table {
        assert_eq!(what(&with(&stop, json!({"PlaybackInfo": playback}))), expected, "{playback}");
    }
}

#[test]
fn a_mark_tells_the_record_where_it_agrees() {
    let film = parsed(seed!("emby/film-marked.json"));
    let marked =
        ItemState { played: true, plays: 0, last_played_at: Some(stamp("2025-06-13T17:17:34Z")), position_ms: 0 };
    let saved = |state| What::Saved { state, cause: Cause::Marked };
    assert_eq!(what(&film), saved(marked), "a count of 0 is kept");
    let unmarked =
        json!({"Event": "item.markunplayed", "Item": {"UserData": {"Played": false, "LastPlayedDate": null}}});
    assert_eq!(what(&with(&film, unmarked)), saved(ItemState::default()));
    // A record from before the mark.
    assert_eq!(what(&with(&film, json!({"Event": "item.markunplayed"}))), What::MarkedUnplayed);
    let table = [json!(null), json!({"Played": null}), json!({"Played": false}), json!("played")];
    for data in table {
        assert_eq!(what(&with(&film, json!({"Item": {"UserData": data}}))), What::MarkedPlayed, "{data}");
    }
    let item = told(&film).1.item.unwrap();
    assert_eq!((item.kind, item.year, item.state), (Kind::Movie, Some(1999), ItemState::default()));
}

#[test]
fn a_stop_is_not_told_by_the_items_record() {
    let film = parsed(seed!("emby/film-marked.json"));
    let stop = json!({"Event": "playback.stop", "PlaybackInfo": {"PositionTicks": 600_000_000}});
    assert_eq!(what(&with(&film, stop)), What::Position { position_ms: 60_000 });
}

#[test]
fn a_list_of_marks_and_stops_is_read_one_by_one() {
    let notices = read(seed!("emby/list.json").as_bytes()).unwrap();
    let whats: Vec<What> = notices.iter().map(|(_, notice)| notice.what).collect();
    let unmarked = What::Saved { state: ItemState::default(), cause: Cause::Marked };
    assert_eq!(whats, [unmarked, What::Position { position_ms: 1_201_500 }]);
}

#[test]
fn new_items_are_nobodys_and_tests_need_nothing() {
    let added = told(&parsed(seed!("emby/episode-new.json"))).1;
    assert_eq!((added.what, added.account.as_ref(), added.item.is_some()), (What::Added, None, true));
    let named = with(&parsed(seed!("emby/episode-stop.json")), json!({"Event": "library.new"}));
    assert_eq!(told(&named).1.account, None);
    let test = told(&parsed(seed!("emby/test.json"))).1;
    assert_eq!((test.what, test.server_id.as_deref(), test.item), (What::Test, Some(SERVER), None));
    assert_eq!(what(&json!({"Event": "system.webhooktest"})), What::Test);
}

#[test]
fn music_has_no_bearing_and_odd_objects_leave_the_rest_readable() {
    let stop = parsed(seed!("emby/episode-stop.json"));
    for kind in ["Audio", "Trailer", "MusicVideo", "Season"] {
        let notice = told(&with(&stop, json!({"Item": {"Type": kind}}))).1;
        assert_eq!((notice.item, notice.what), (None, What::Other), "{kind}");
    }
    for odd in [json!(7), json!([{}]), json!("x")] {
        let patch = json!({"Item": {"ProviderIds": odd, "UserData": odd, "Name": odd, "IndexNumberEnd": odd}});
        let item = told(&with(&stop, patch)).1.item.unwrap();
        assert_eq!((item.remote_id.as_str(), item.ids.len(), item.episode_end), ("87146", 0, None), "{odd}");
    }
    let patch = json!({"Item": {"Id": 87146, "ProviderIds": {"Tvdb": 7_184_320, "IMDB": "none", "Tmdb": null}}});
    let item = told(&with(&stop, patch)).1.item.unwrap();
    assert_eq!((item.remote_id.as_str(), item.junk_ids), ("87146", 1));
    assert_eq!(item.ids, ids(&[(Provider::Tvdb, "7184320")]));
}

#[test]
fn what_is_missing_is_named() {
    let stop = parsed(seed!("emby/episode-stop.json"));
    let table = [
        (json!({"Server": null, "Item": {"ServerId": null}}), Some("Server.Id")),
        (json!({"Server": null}), None),
        (json!({"User": null}), Some("User.Id")),
        (json!({"User": {"Id": null}}), None),
        (json!({"Item": null}), Some("Item")),
        (json!({"Item": {"Id": null}}), Some("Item.Id")),
        (json!({"Item": {"Type": null}}), Some("Item.Type")),
        (json!({"Event": "library.new", "User": null}), None),
        (json!({"Event": "user.created", "Item": null, "User": null}), None),
    ];
    for (patch, field) in table {
        let payload = with(&stop, patch.clone());
        assert_eq!(missing(&payload), field.map(|field| (ServerKind::Emby, field)), "{patch}");
    }
}
