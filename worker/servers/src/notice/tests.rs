//! Webhooks as the servers send them, from the same files that the fuzzer starts with.

mod chaos;
mod emby;
mod form;
mod jellyfin;
mod plex;
mod sane;
mod tautulli;

use jiff::Timestamp;
use serde_json::{Value, json};
use watchstate_domain::ids::{ExternalId, Ids, Provider};
use watchstate_domain::item::ServerKind;
use watchstate_domain::notice::{Notice, Teller, What};

use super::{AT_MOST, Unreadable, read};

/// A payload of the fuzzer's seeds.
macro_rules! seed {
    ($file:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds/", $file))
    };
}
use seed;

fn parsed(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

/// The payload with other values (RFC 7396: null takes a field away).
fn with(payload: &Value, patch: Value) -> Value {
    fn merge(into: &mut Value, patch: Value) {
        let Value::Object(fields) = patch else {
            *into = patch;
            return;
        };
        if !into.is_object() {
            *into = json!({});
        }
        for (name, value) in fields {
            if value.is_null() {
                into.as_object_mut().unwrap().remove(&name);
            } else {
                merge(&mut into[name], value);
            }
        }
    }
    let mut payload = payload.clone();
    merge(&mut payload, patch);
    payload
}

fn outcome(payload: &Value) -> Result<(ServerKind, Notice), Unreadable> {
    let mut notices = read(payload.to_string().as_bytes())?;
    assert_eq!(notices.len(), 1, "one event is one notice");
    Ok(notices.remove(0))
}

fn told(payload: &Value) -> (ServerKind, Notice) {
    outcome(payload).unwrap_or_else(|error| panic!("{error}: {payload}"))
}

fn what(payload: &Value) -> What {
    told(payload).1.what
}

/// The field that the complaint is about.
fn missing(payload: &Value) -> Option<(ServerKind, &'static str)> {
    match outcome(payload) {
        Err(Unreadable::Missing { server, field, .. }) => Some((server, field)),
        Ok(_) => None,
        Err(other) => panic!("{other}: {payload}"),
    }
}

fn teller(id: &str, name: &str) -> Teller {
    Teller { id: id.to_owned(), name: name.to_owned() }
}

fn ids(all: &[(Provider, &str)]) -> Ids {
    all.iter().map(|(provider, value)| ExternalId::new(*provider, value).unwrap()).collect()
}

fn stamp(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn the_sender_is_seen_by_the_body() {
    let table = [
        (seed!("plex/device-new.json"), ServerKind::Plex),
        (seed!("tautulli/test.json"), ServerKind::Plex),
        (seed!("jellyfin/login.json"), ServerKind::Jellyfin),
        (seed!("emby/test.json"), ServerKind::Emby),
        (r#"{"event":"x","Metadata":{}}"#, ServerKind::Plex),
        (r#"{"event":"x","Account":{}}"#, ServerKind::Plex),
        (r#"{"NotificationType":"Generic"}"#, ServerKind::Jellyfin),
        (r#"{"Event":"x","User":{}}"#, ServerKind::Emby),
        (r#"{"Event":"system.webhooktest"}"#, ServerKind::Emby),
    ];
    for (json, server) in table {
        assert_eq!(told(&parsed(json)).0, server, "{json}");
    }
}

#[test]
fn what_is_no_webhook_is_refused_with_advice_and_without_an_echo() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_inside = format!(r#"{{"NotificationType":"x","secret":{}1{}}}"#, "[".repeat(200), "]".repeat(200));
    let many = format!("[{}]", vec![r#"{"Event":"secret","User":{}}"#; AT_MOST + 1].join(","));
    let table: [(&[u8], Unreadable); 16] = [
        (b"", Unreadable::NotJson),
        (b"secret", Unreadable::NotJson),
        (br#"{"NotificationType":"secret"#, Unreadable::NotJson),
        (br#"{"NotificationType":"secret"} secret"#, Unreadable::NotJson),
        (b"{\"NotificationType\":\"secret \xff\"}", Unreadable::NotJson),
        (br#"{"NotificationType":"\ud800 secret"}"#, Unreadable::NotJson),
        (deep.as_bytes(), Unreadable::NotJson),
        (deep_inside.as_bytes(), Unreadable::NotJson),
        (b"null", Unreadable::Unknown),
        (b"[]", Unreadable::Unknown),
        (br#"[[{"NotificationType":"secret"}]]"#, Unreadable::Unknown),
        (br#"{"event":"media.play"}"#, Unreadable::Unknown),
        (br#"{"event":"media.play","Metadata":"secret"}"#, Unreadable::Unknown),
        (br#"{"Event":"playback.start"}"#, Unreadable::Unknown),
        (br#"{"NotificationType":null,"text":"secret"}"#, Unreadable::Unknown),
        (many.as_bytes(), Unreadable::TooMany),
    ];
    for (body, expected) in table {
        let error = read(body).unwrap_err();
        assert_eq!(error, expected, "{}", String::from_utf8_lossy(&body[..body.len().min(80)]));
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    assert!(Unreadable::Unknown.to_string().contains("tick \"Send All Properties\""));
}

#[test]
fn a_list_holds_several_events_and_is_refused_as_a_whole() {
    let notices = read(seed!("emby/list.json").as_bytes()).unwrap();
    let events: Vec<&str> = notices.iter().map(|(_, notice)| notice.event.as_str()).collect();
    assert_eq!(events, ["item.markunplayed", "playback.stop"]);
    let spoiled = json!([parsed(seed!("plex/film-scrobble.json")), {"event": "media.play"}]);
    assert_eq!(read(spoiled.to_string().as_bytes()), Err(Unreadable::Unknown));
}

#[test]
fn texts_are_cut_and_ids_that_are_none_count_as_absent() {
    let film = parsed(seed!("jellyfin/film-saved.json"));
    let long = "ä".repeat(100_000);
    let (_, notice) = told(&with(&film, json!({"Name": format!("a\u{0}b\n{long}"), "NotificationUsername": long})));
    let (title, name) = (notice.item.unwrap().title, notice.account.unwrap().name);
    assert!(title.starts_with("abää"), "{title}");
    assert_eq!((title.chars().count(), name.chars().count()), (500, 500));
    let just = "7".repeat(256);
    assert_eq!(told(&with(&film, json!({"ItemId": just}))).1.item.unwrap().remote_id, just);
    for id in ["7".repeat(257), "7\n8".to_owned(), "7\u{0}".to_owned(), " ".to_owned(), "0".repeat(32)] {
        assert_eq!(missing(&with(&film, json!({"ItemId": id}))), Some((ServerKind::Jellyfin, "ItemId")), "{id:?}");
    }
    let emby = parsed(seed!("emby/episode-stop.json"));
    for path in ["/".repeat(4097), "/a\u{0}".to_owned(), String::new()] {
        assert_eq!(told(&with(&emby, json!({"Item": {"Path": path}}))).1.item.unwrap().path, None, "{path:?}");
    }
    let (_, notice) = told(&with(&emby, json!({"Event": long, "Item": {"SeriesId": long}})));
    assert_eq!((notice.event.chars().count(), notice.what), (500, What::Other));
    assert_eq!(notice.item.unwrap().show.unwrap().remote_id, None);
}
