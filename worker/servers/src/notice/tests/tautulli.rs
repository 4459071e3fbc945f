//! Tautulli: Plex's form with text throughout, and ids of the show on episodes.

use serde_json::json;
use watchstate_domain::ids::{Ids, Kind, Provider};
use watchstate_domain::item::{Item, ItemState, ServerKind, ShowRef};
use watchstate_domain::notice::{Notice, What};

use super::{Unreadable, ids, missing, outcome, parsed, seed, teller, told, what, with};

#[test]
fn a_paused_episode_carries_the_ids_of_its_show() {
    let expected = Notice {
        event: "tautulli.pause".to_owned(),
        server_id: Some("f693c89ab37525076202431c3069b47f260e1ef1".to_owned()),
        account: Some(teller("47431022", "Ben")),
        sent_at: None,
        item: Some(Item {
            remote_id: "298572".to_owned(),
            kind: Kind::Episode,
            title: "The Second Lamp".to_owned(),
            show: Some(ShowRef {
                remote_id: Some("294795".to_owned()),
                title: "The Lighthouse Keepers".to_owned(),
                ids: ids(&[(Provider::Imdb, "tt2191671"), (Provider::Tmdb, "44217"), (Provider::Tvdb, "255316")]),
            }),
            year: None,
            season: Some(7),
            episode: Some(11),
            episode_end: None,
            ids: ids(&[(Provider::Plex, "episode/5d9c1278e264b7001fcaab4c")]),
            junk_ids: 0,
            path: Some("/media/tv/The Lighthouse Keepers/Season 07/The Lighthouse Keepers - S07E11.mkv".to_owned()),
            runtime_ms: Some(2_592_000),
            // In whatever zone Tautulli runs.
            added_at: None,
            state: ItemState::default(),
        }),
        library_id: Some("4".to_owned()),
        what: What::Position { position_ms: 1_201_500 },
    };
    assert_eq!(told(&parsed(seed!("tautulli/episode-pause.json"))), (ServerKind::Plex, expected));
}

#[test]
fn every_event_says_what_happened() {
    let film = parsed(seed!("tautulli/film-watched.json"));
    let table = [
        ("tautulli.watched", What::Finished),
        ("tautulli.pause", What::Position { position_ms: 0 }),
        ("tautulli.stop", What::Position { position_ms: 0 }),
        ("tautulli.start", What::Started),
        ("tautulli.play", What::Started),
        ("tautulli.resume", What::Started),
        ("tautulli.created", What::Added),
        ("tautulli.test", What::Test),
        ("tautulli.buffer", What::Other),
        ("tautulli.", What::Other),
    ];
    for (event, expected) in table {
        assert_eq!(what(&with(&film, json!({"event": event}))), expected, "{event}");
    }
    let no_offset = json!({"event": "tautulli.stop", "Metadata": {"viewOffset": ""}});
    assert_eq!(what(&with(&film, no_offset)), What::Other);
}

#[test]
fn a_film_and_a_show_carry_their_own_ids() {
    let film = told(&parsed(seed!("tautulli/film-watched.json"))).1.item.unwrap();
    let own =
        [(Provider::Imdb, "tt0133093"), (Provider::Tmdb, "603"), (Provider::Plex, "movie/5d776825880197001ec90e6f")];
    assert_eq!((film.kind, film.year, film.show, film.ids), (Kind::Movie, Some(1999), None, ids(&own)));
    assert_eq!((film.season, film.episode), (None, None));
    let created = told(&parsed(seed!("tautulli/show-created.json"))).1;
    assert_eq!((created.what, created.account), (What::Added, None));
    let show = created.item.unwrap();
    assert_eq!((show.kind, show.ids.get(Provider::Tvdb), show.path), (Kind::Show, Some("255316"), None));
}

#[test]
fn odd_ids_are_junk_and_odd_lists_are_none() {
    let film = parsed(seed!("tautulli/film-watched.json"));
    let odd = json!({"Metadata": {"guid": "", "Guids": {"imdb": "none", "tmdb": 603, "tvdb": [], "plex": "x"}}});
    let item = told(&with(&film, odd)).1.item.unwrap();
    assert_eq!((item.ids, item.junk_ids), (ids(&[(Provider::Tmdb, "603")]), 1));
    let item = told(&with(&film, json!({"Metadata": {"guid": null, "Guids": "none"}}))).1.item.unwrap();
    assert_eq!((item.ids, item.junk_ids), (Ids::default(), 0));
}

#[test]
fn a_test_needs_nothing_else_and_advice_names_tautulli() {
    let test = told(&parsed(seed!("tautulli/test.json"))).1;
    assert_eq!((test.what, test.server_id, test.account, test.item), (What::Test, None, None, None));
    let film = parsed(seed!("tautulli/film-watched.json"));
    let nameless = with(&film, json!({"Account": {"id": "", "title": ""}}));
    assert_eq!(missing(&nameless), Some((ServerKind::Plex, "Account.id")));
    let error = outcome(&nameless).unwrap_err();
    assert!(matches!(error, Unreadable::Missing { remedy, .. } if remedy.contains("Tautulli")), "{error}");
    let track = with(&film, json!({"Metadata": {"type": "track"}}));
    assert_eq!((told(&track).1.item, what(&track)), (None, What::Other));
}
