//! Urlencoded bodies: JSON in a field, or a field for each property.

use super::super::form_to_json;
use super::{What, outcome, parsed, read, seed, told};

const FORM: Option<&str> = Some("application/x-www-form-urlencoded");

fn json(body: &[u8]) -> Option<String> {
    form_to_json(FORM, body).map(|json| String::from_utf8(json).unwrap())
}

#[test]
fn json_in_a_field_is_the_json() {
    let emby = form_to_json(FORM, seed!("form/emby-data.txt").as_bytes()).unwrap();
    assert_eq!(read(&emby).unwrap(), [told(&parsed(seed!("emby/episode-stop.json")))]);
    let plex = form_to_json(FORM, seed!("form/plex-payload.txt").as_bytes()).unwrap();
    assert_eq!(read(&plex).unwrap()[0].1.event, "media.scrobble");
    assert_eq!(json(b"a=1&data=+%5b%7B%22a+b%22%3a%22%2B%22%7d%5D&b=2").as_deref(), Some(r#" [{"a b":"+"}]"#));
}

#[test]
fn a_generic_form_tells_the_same_as_the_json() {
    let form = json(seed!("form/jellyfin-generic.txt").as_bytes()).unwrap();
    assert_eq!(outcome(&parsed(&form)).unwrap(), told(&parsed(seed!("jellyfin/film-saved.json"))));
    let saved = told(&parsed(&form)).1.what;
    assert!(matches!(saved, What::Saved { .. }), "{saved:?}");
}

#[test]
fn other_fields_become_an_object() {
    let table: [(&[u8], &str); 6] = [
        (b"", "{}"),
        (b"&&", "{}"),
        (b"a=1&b=x%20y+z&c&d==&%26=%3D", r#"{"&":"=","a":"1","b":"x y z","c":"","d":"="}"#),
        (b"data=later", r#"{"data":"later"}"#),
        (b"a=1&a=2", r#"{"a":"2"}"#),
        (b"a=100%&b=%zz", r#"{"a":"100%","b":"%zz"}"#),
    ];
    for (body, expected) in table {
        assert_eq!(json(body).as_deref(), Some(expected), "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn what_is_no_form_is_left_alone_whatever_it_is_called() {
    let film = seed!("plex/film-scrobble.json").as_bytes();
    assert_eq!(json(film), None, "curl calls all it sends a form");
    assert_eq!(json(b" \n[1]"), None);
    assert_eq!(json(b"a=%ff"), None, "not UTF-8");
    for content_type in [None, Some(""), Some("application/json"), Some("text/plain; charset=utf-8")] {
        assert_eq!(form_to_json(content_type, b"data={}"), None, "{content_type:?}");
    }
    let spelled = Some("Application/X-WWW-Form-Urlencoded ; charset=UTF-8");
    assert_eq!(form_to_json(spelled, b"data={}").as_deref(), Some(&b"{}"[..]));
    assert!(read(&form_to_json(FORM, b"data={%22Event%22:%22%ff%22}").unwrap()).is_err(), "not UTF-8");
}
