//! Jellyfin: the plugin's own properties, and templates that carry fewer.

use serde_json::{Value, json};
use watchstate_domain::ids::{Kind, Provider};
use watchstate_domain::item::{Item, ItemState, ServerKind, ShowRef};
use watchstate_domain::notice::{Cause, Notice, What};

use super::{Unreadable, ids, missing, outcome, parsed, seed, stamp, teller, told, what, with};

const USER: &str = "c0ffee00c0ffee00c0ffee00c0ffee00";
const SERVER: &str = "a1b2c3d4e5f60718293a4b5c6d7e8f90";

fn film() -> Value {
    parsed(seed!("jellyfin/film-saved.json"))
}

#[test]
fn an_episode_that_stops_tells_its_position_and_what_the_item_is() {
    let expected = Notice {
        event: "PlaybackStop".to_owned(),
        server_id: Some(SERVER.to_owned()),
        account: Some(teller(USER, "anna")),
        sent_at: Some(stamp("2026-05-05T19:30:00.123456Z")),
        item: Some(Item {
            remote_id: "11111111222233334444555555555555".to_owned(),
            kind: Kind::Episode,
            title: "Die zweite Lampe".to_owned(),
            show: Some(ShowRef {
                remote_id: Some("99999999888877776666555555555555".to_owned()),
                title: "The Lighthouse \"Keepers\"".to_owned(),
                ids: ids(&[]),
            }),
            year: None,
            season: Some(7),
            episode: Some(11),
            episode_end: Some(12),
            ids: ids(&[(Provider::Imdb, "tt9844522"), (Provider::Tvdb, "7184320")]),
            junk_ids: 0,
            path: None,
            runtime_ms: Some(2_592_000),
            added_at: None,
            state: ItemState::default(),
        }),
        library_id: None,
        what: What::Position { position_ms: 1_800_000 },
    };
    assert_eq!(told(&parsed(seed!("jellyfin/episode-stop.json"))), (ServerKind::Jellyfin, expected));
}

#[test]
fn a_saved_record_is_told_as_a_whole() {
    let (server, notice) = told(&film());
    let state = ItemState {
        played: true,
        plays: 2,
        last_played_at: Some(stamp("2026-05-05T19:29:58.765432Z")),
        position_ms: 0,
    };
    assert_eq!((server, notice.event.as_str()), (ServerKind::Jellyfin, "UserDataSaved PlaybackFinished"));
    assert_eq!(notice.what, What::Saved { state, cause: Cause::Stopped });
    let item = notice.item.unwrap();
    assert_eq!((item.title.as_str(), item.year), ("The \"Quiet\" Harbour", Some(1999)));
    assert_eq!((item.ids, item.junk_ids), (ids(&[(Provider::Imdb, "tt0133093"), (Provider::Tmdb, "603")]), 0));
    assert_eq!(item.state, ItemState::default(), "the item's state is nobody's");
}

#[test]
fn the_reason_of_a_save_is_its_cause() {
    let cause = |reason: Value| match what(&with(&film(), json!({"SaveReason": reason}))) {
        What::Saved { cause, .. } => Ok(cause),
        other => Err(other),
    };
    let table = [
        (json!("PlaybackStart"), Ok(Cause::Started)),
        (json!("PlaybackProgress"), Ok(Cause::Progress)),
        (json!("PlaybackFinished"), Ok(Cause::Stopped)),
        (json!("TogglePlayed"), Ok(Cause::Marked)),
        (json!("UpdateUserData"), Ok(Cause::Set)),
        (json!("UpdateUserRating"), Err(What::Rated)),
        (json!("Import"), Err(What::Other)),
        (json!("Whatever"), Err(What::Other)),
    ];
    for (reason, expected) in table {
        assert_eq!(cause(reason.clone()), expected, "{reason}");
    }
}

#[test]
fn every_event_says_what_happened() {
    let stop = parsed(seed!("jellyfin/episode-stop.json"));
    let position = What::Position { position_ms: 1_800_000 };
    let table = [
        (json!({"NotificationType": "PlaybackStart"}), What::Started),
        (json!({"NotificationType": "PlaybackProgress"}), What::Started),
        (json!({"NotificationType": "PlaybackProgress", "IsPaused": true}), position),
        (json!({"NotificationType": "PlaybackProgress", "IsPaused": "True"}), position),
        (json!({"PlayedToCompletion": true}), What::Finished),
        (json!({"PlayedToCompletion": "True"}), What::Finished),
        (json!({"PlayedToCompletion": null}), position),
        (json!({"PlaybackPositionTicks": null}), What::Other),
        (json!({"PlaybackPositionTicks": "18000000000"}), position),
        (json!({"PlaybackPositionTicks": -1}), What::Other),
        (json!({"NotificationType": "ItemAdded"}), What::Added),
        (json!({"NotificationType": "ItemDeleted"}), What::Other),
        (json!({"NotificationType": "TaskCompleted"}), What::Other),
        (json!({"ItemType": "Audio"}), What::Other),
        (json!({"ItemType": "Trailer", "NotificationType": "ItemAdded"}), What::Other),
    ];
    for (patch, expected) in table {
        assert_eq!(what(&with(&stop, patch.clone())), expected, "{patch}");
    }
    let music = told(&with(&stop, json!({"ItemType": "Audio"}))).1;
    assert_eq!((music.item, music.account), (None, Some(teller(USER, "anna"))));
}

#[test]
fn a_new_item_is_nobodys_whoever_is_named() {
    let added = told(&parsed(seed!("jellyfin/film-added.json"))).1;
    assert_eq!((added.what, added.account.as_ref()), (What::Added, None));
    let named = told(&with(&film(), json!({"NotificationType": "ItemAdded"}))).1;
    assert_eq!((named.what, named.account, named.event.as_str()), (What::Added, None, "ItemAdded"));
}

#[test]
fn a_template_of_text_and_dashed_guids_is_read() {
    let (_, notice) = told(&parsed(seed!("jellyfin/template.json")));
    assert_eq!(notice.server_id.as_deref(), Some(SERVER));
    assert_eq!(notice.account, Some(teller(USER, "")));
    assert_eq!((notice.sent_at, notice.event.as_str()), (None, "UserDataSaved TogglePlayed"));
    assert_eq!(notice.what, What::Saved { state: ItemState::default(), cause: Cause::Marked });
    let item = notice.item.unwrap();
    assert_eq!(item.remote_id, "11111111222233334444555555555555");
    assert_eq!((item.season, item.episode, item.title.as_str()), (Some(7), Some(11), ""));
    assert_eq!(item.ids, ids(&[(Provider::Tvdb, "7184320")]));
    assert_eq!(item.show.map(|show| (show.remote_id, show.title)), Some((None, "The Lighthouse Keepers".to_owned())));
}

#[test]
fn the_local_stamp_is_never_used() {
    assert_eq!(told(&with(&film(), json!({"UtcTimestamp": null}))).1.sent_at, None);
    assert_eq!(told(&with(&film(), json!({"UtcTimestamp": "0001-01-01T00:00:00Z"}))).1.sent_at, None);
}

#[test]
fn an_event_that_does_not_say_what_happened_is_incomplete_and_no_error() {
    let stop = json!({"NotificationType": "PlaybackStop", "PlayedToCompletion": null, "PlaybackPositionTicks": null});
    let table = [
        (json!({"SaveReason": null}), What::Incomplete),
        (json!({"SaveReason": null, "ItemType": "Audio"}), What::Other),
        (json!({"SaveReason": "TogglePlayed", "Played": null}), What::Incomplete),
        (json!({"SaveReason": "TogglePlayed", "Played": "maybe"}), What::Incomplete),
        (json!({"SaveReason": "TogglePlayed", "Played": [true]}), What::Incomplete),
        (json!({"SaveReason": "Whatever", "Played": null}), What::Other),
        (stop.clone(), What::Incomplete),
        (with(&stop, json!({"PlayedToCompletion": false})), What::Other),
    ];
    for (patch, expected) in table {
        assert_eq!(what(&with(&film(), patch.clone())), expected, "{patch}");
    }
}

#[test]
fn what_is_missing_is_named_with_advice() {
    let table = [
        (json!({"ServerId": null}), Some("ServerId")),
        (json!({"ItemId": null}), Some("ItemId")),
        (json!({"ItemId": "00000000-0000-0000-0000-000000000000"}), Some("ItemId")),
        (json!({"ItemType": ""}), Some("ItemType")),
        (json!({"UserId": null, "NotificationUsername": null}), Some("UserId")),
        (json!({"UserId": null}), None),
        (json!({"SaveReason": null, "ItemId": null}), Some("ItemId")),
        (json!({"NotificationType": "UserCreated", "ServerId": null, "ItemId": null, "UserId": null}), None),
    ];
    for (patch, field) in table {
        let payload = with(&film(), patch.clone());
        assert_eq!(missing(&payload), field.map(|field| (ServerKind::Jellyfin, field)), "{patch}");
        if let Err(error @ Unreadable::Missing { .. }) = outcome(&payload) {
            assert!(error.to_string().contains("tick \"Send All Properties\""), "{error}");
        }
    }
    let login = told(&parsed(seed!("jellyfin/login.json"))).1;
    assert_eq!((login.what, login.item, login.account), (What::Other, None, Some(teller(USER, "anna"))));
}
