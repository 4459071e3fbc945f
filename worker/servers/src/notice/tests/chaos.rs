//! Bodies that nobody sends on purpose: cut, with other values, of any bytes. They never panic, and what is read stays within bounds.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::form_to_json;
use super::sane::check;
use super::{Unreadable, parsed, read, seed};

const PAYLOADS: [&str; 19] = [
    seed!("plex/episode-stop.json"),
    seed!("plex/film-scrobble.json"),
    seed!("plex/track-play.json"),
    seed!("plex/legacy-episode-new.json"),
    seed!("plex/device-new.json"),
    seed!("tautulli/film-watched.json"),
    seed!("tautulli/episode-pause.json"),
    seed!("tautulli/show-created.json"),
    seed!("tautulli/test.json"),
    seed!("jellyfin/film-saved.json"),
    seed!("jellyfin/episode-stop.json"),
    seed!("jellyfin/film-added.json"),
    seed!("jellyfin/template.json"),
    seed!("jellyfin/login.json"),
    seed!("emby/episode-stop.json"),
    seed!("emby/film-marked.json"),
    seed!("emby/episode-new.json"),
    seed!("emby/test.json"),
    seed!("emby/list.json"),
];

const FORMS: [&str; 3] =
    [seed!("form/emby-data.txt"), seed!("form/plex-payload.txt"), seed!("form/jellyfin-generic.txt")];

/// Values that a field may hold in place of its own.
fn odd() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(vec![
            json!(null),
            json!(true),
            json!("False"),
            json!(""),
            json!(0),
            json!(-1),
            json!(i64::MAX),
            json!(i64::MIN),
            json!(u64::MAX),
            json!(1e300),
            json!(-0.5),
            json!("99999999999999999999"),
            json!("0001-01-01T00:00:00Z"),
            json!("+999999-12-31T23:59:60Z"),
            json!([]),
            json!({}),
            json!([{}, null, [1]]),
            json!({"id": {"id": []}}),
            json!("\u{0}\u{7f}\u{202e}"),
            json!("é".repeat(70_000)),
        ]),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        (1..130_usize).prop_map(|depth| (0..depth).fold(json!(7), |inner, _| json!([inner]))),
    ]
}

/// How many values stand below this one.
fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(|item| 1 + size(item)).sum(),
        Value::Object(fields) => fields.values().map(|field| 1 + size(field)).sum(),
        _ => 0,
    }
}

/// Replaces the `at`th value below this one.
fn replace(value: &mut Value, at: &mut usize, by: &Value) {
    let below: Vec<&mut Value> = match value {
        Value::Array(items) => items.iter_mut().collect(),
        Value::Object(fields) => fields.values_mut().collect(),
        _ => Vec::new(),
    };
    for inner in below {
        if *at == 0 {
            *inner = by.clone();
            *at = usize::MAX;
            return;
        }
        *at -= 1;
        replace(inner, at, by);
        if *at == usize::MAX {
            return;
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_read(body in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&read(&body));
        form_to_json(Some("application/x-www-form-urlencoded"), &body);
    }

    #[test]
    fn a_cut_payload_is_refused(payload in prop::sample::select(&PAYLOADS[..]), keep in 0.0..1.0_f64) {
        let body = payload.trim_end().as_bytes();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "small")]
        let length = (body.len() as f64 * keep) as usize;
        prop_assert_eq!(read(&body[..length]), Err(Unreadable::NotJson));
    }

    #[test]
    fn a_payload_with_other_bytes_in_it_is_refused_or_read(
        payload in prop::sample::select(&PAYLOADS[..]),
        at in any::<prop::sample::Index>(),
        bytes in prop::collection::vec(any::<u8>(), 1..4),
    ) {
        let mut body = payload.as_bytes().to_vec();
        let start = at.index(body.len());
        let end = body.len().min(start + bytes.len());
        body.splice(start..end, bytes);
        check(&read(&body));
    }

    #[test]
    fn a_payload_with_odd_values_is_refused_or_read(
        payload in prop::sample::select(&PAYLOADS[..]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), odd()), 1..6),
    ) {
        let mut value = parsed(payload);
        for (at, by) in &changes {
            let values = size(&value);
            if values > 0 {
                replace(&mut value, &mut at.index(values), by);
            }
        }
        check(&read(value.to_string().as_bytes()));
    }

    #[test]
    fn a_form_with_other_bytes_in_it_is_refused_or_read(
        form in prop::sample::select(&FORMS[..]),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut body = form.as_bytes().to_vec();
        let at = at.index(body.len());
        body[at] = byte;
        let json = form_to_json(Some("application/x-www-form-urlencoded"), &body);
        check(&read(json.as_deref().unwrap_or(&body)));
    }
}
