//! What may be shown. [`url()`] shows an address without its secrets; [`scrub`] is the last line of defence: every log line and every exported
//! span passes through it, so that a token in somebody's error text still doesn't get out.

use std::borrow::Cow;
use std::error::Error;

use url::Url;

mod scanner;

use scanner::{mask_addresses, mask_values};

/// What is shown in place of a secret.
pub const MASK: &str = "***";

/// A URL for people: without user name, password and fragment, and with the names of its query parameters only
/// (`http://host/path?X-Plex-Token=***&type=***`): a list of harmless ones would be wrong some day.
pub fn url(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_fragment(None);
    if !url.username().is_empty() || url.password().is_some() {
        // Both fail only for addresses that can't have credentials.
        let _ = shown.set_password(None);
        let _ = shown.set_username(MASK);
    }
    if url.query().is_some() {
        let names: Vec<String> = url.query_pairs().map(|(name, _)| format!("{name}={MASK}")).collect();
        shown.set_query((!names.is_empty()).then(|| names.join("&")).as_deref());
    }
    shown.into()
}

/// An error with all its sources, `a: b: c`, scrubbed. A source that the text before ends with already isn't told twice.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let cause = inner.to_string();
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        source = inner.source();
    }
    scrub(&text).into_owned()
}

/// The text with the values of everything named like a secret masked: `X-Plex-Token=…`, `api_key=…`, `"password":"…"`, `pin=…`,
/// `Authorization: …`, `Bearer …`; credentials in URLs, and the local part of e-mail addresses too. Rather too much than too little.
pub fn scrub(text: &str) -> Cow<'_, str> {
    let values = mask_values(text);
    match mask_addresses(&values) {
        Some(masked) => Cow::Owned(masked),
        None => values,
    }
}

/// As [`scrub`], for a line of JSON, which stays one: each text by itself, and the value of each field that is named like a secret.
pub fn scrub_json(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut secret = false;
    let mut rest = line;
    while let Some(next) = rest.chars().next() {
        let length = match next {
            '"' => literal_length(rest),
            '-' | '0'..='9' => {
                rest.find(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c)).unwrap_or(rest.len())
            }
            other => other.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        rest = after;
        match next {
            '"' => {
                let text: String = serde_json::from_str(token).unwrap_or_default();
                let is_name = rest.trim_start().starts_with(':');
                if is_name {
                    secret = is_secret(&text);
                }
                match scrub(&text) {
                    _ if secret && !is_name && !text.is_empty() => shown.push_str(QUOTED_MASK),
                    Cow::Borrowed(_) => shown.push_str(token),
                    Cow::Owned(scrubbed) => shown.push_str(&serde_json::Value::from(scrubbed).to_string()),
                }
            }
            '-' | '0'..='9' if secret => shown.push_str(QUOTED_MASK),
            _ => shown.push_str(token),
        }
    }
    shown
}

const QUOTED_MASK: &str = "\"***\"";

/// How long the JSON text is that begins here, its quotes included.
fn literal_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            b'"' if !escaped => return at + 1,
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

/// A name that ends so names a secret; also in compounds such as `accessToken` and `X-Plex-Token`.
const ENDINGS: [&str; 8] = ["token", "api_key", "api-key", "apikey", "password", "passwd", "_secret", "authorization"];
/// These only as whole names: `mapping=` is none.
const WHOLE: [&str; 4] = ["pin", "pw", "pass", "cookie"];

/// The name is one of a secret: its value is never shown.
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    WHOLE.contains(&name.as_str()) || ENDINGS.iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_url_is_shown_without_anything_that_could_be_a_secret() {
        let table = [
            (
                "http://plex:32400/library/all?X-Plex-Token=abc&type=1",
                "http://plex:32400/library/all?X-Plex-Token=***&type=***",
            ),
            ("https://me:pw@emby.example/emby#x", "https://***@emby.example/emby"),
            ("https://me@emby.example/", "https://***@emby.example/"),
            ("http://jellyfin:8096/Users/1/Items", "http://jellyfin:8096/Users/1/Items"),
            ("http://plex/?abc", "http://plex/?abc=***"),
        ];
        for (given, shown) in table {
            assert_eq!(url(&Url::parse(given).unwrap()), shown);
        }
    }

    #[test]
    fn a_cause_that_was_told_already_isnt_told_again() {
        #[derive(Debug, thiserror::Error)]
        #[error("the database said: {0}")]
        struct Outer(#[source] std::io::Error);
        #[derive(Debug, thiserror::Error)]
        #[error("the database is away")]
        struct Silent(#[source] std::io::Error);
        assert_eq!(chain(&Outer(std::io::Error::other("token=abc"))), "the database said: token=***");
        assert_eq!(chain(&Silent(std::io::Error::other("no route"))), "the database is away: no route");
    }

    #[test]
    fn secrets_are_masked_however_they_are_written() {
        let table = [
            (
                "GET http://plex/all?X-Plex-Token=s3cret&type=1 failed",
                "GET http://plex/all?X-Plex-Token=***&type=1 failed",
            ),
            ("for url (http://emby/Items?api_key=s3cret)", "for url (http://emby/Items?api_key=***)"),
            ("redirect=http%3A%2F%2Fx%3FX-Plex-Token%3Ds3cret", "redirect=http%3A%2F%2Fx%3FX-Plex-Token%3D***"),
            (
                r#"MediaBrowser Client="w", Token="s3cret", Version="1""#,
                r#"MediaBrowser Client="w", Token="***", Version="1""#,
            ),
            ("x-emby-token: s3cret", "x-emby-token: ***"),
            ("Authorization: MediaBrowser Token s3cret\nHost: x", "Authorization: ***\nHost: x"),
            (r#"{"authorization": "Basic s3cret", "host": "x"}"#, r#"{"authorization": "***", "host": "x"}"#),
            ("sent Bearer 0123456789abcdef0123 to it", "sent Bearer *** to it"),
            (r#"{"message":"no","accessToken":"s3 cret, \"x","n":1}"#, r#"{"message":"no","accessToken":"***","n":1}"#),
            (r#"{"message":"got {\"Pw\":\"s3cret\",\"a\":1}"}"#, r#"{"message":"got {\"Pw\":\"***\",\"a\":1}"}"#),
            (r#"{"pin":1234,"x":2}"#, r#"{"pin":***,"x":2}"#),
            ("Login { user: \"a\", password: \"s3cret\" }", "Login { user: \"a\", password: \"***\" }"),
            (
                "opened \u{1b}[3mtoken\u{1b}[0m\u{1b}[2m=\u{1b}[0m\"s3cret\" x=1",
                "opened \u{1b}[3mtoken\u{1b}[0m\u{1b}[2m=\u{1b}[0m\"***\" x=1",
            ),
            ("\u{1b}[3mpin\u{1b}[0m\u{1b}[2m=\u{1b}[0m1234 x=1", "\u{1b}[3mpin\u{1b}[0m\u{1b}[2m=\u{1b}[0m*** x=1"),
            ("postgres://watch:p@ss@db:5432/x", "postgres://***@db:5432/x"),
            ("postgres://watch:p/s3cret@db:5432/x", "postgres://***@db:5432/x"),
            ("http://plex:32400/library/@all", "http://plex:32400/library/@all"),
            ("http://u@h/x?mail=anna@mail.example", "http://***@h/x?mail=***@mail.example"),
            ("user anna.b+tv@mail.example.org may not", "user ***@mail.example.org may not"),
            ("a@b.cc, http://u:p@h/, c@d.ee", "***@b.cc, http://***@h/, ***@d.ee"),
        ];
        for (given, shown) in table {
            assert_eq!(scrub(given), shown);
            assert_eq!(scrub(shown), shown, "scrubbing twice changes nothing");
        }
    }

    #[test]
    fn what_is_no_secret_stays_as_it_is() {
        for text in [
            "spec.tokenSecretRef.name: expected the name of a Secret",
            "servers[0].token: expected a text",
            "mapping=/media pins=3 tokens=5 spin=1",
            r#"{"token":null,"pin":true,"password":{"set":true}}"#,
            "the bearer token is missing",
            "movie@home and @mention, 50 % @ 3",
            "Ünïcödé: Amélie = 2001, pin",
            "token=",
            "",
        ] {
            assert_eq!(scrub(text), text);
            assert!(matches!(scrub(text), Cow::Borrowed(_)));
        }
    }

    #[test]
    fn an_error_is_shown_with_its_sources_and_without_their_secrets() {
        #[derive(Debug, thiserror::Error)]
        #[error("could not ask plex")]
        struct Outer(#[source] std::io::Error);
        let error = Outer(std::io::Error::other("no route to http://plex/?X-Plex-Token=s3cret"));
        assert_eq!(chain(&error), "could not ask plex: no route to http://plex/?X-Plex-Token=***");
    }

    /// Pieces that the scanner looks for, in any order, between any other text.
    fn soup() -> impl Strategy<Value = String> {
        let pieces = [
            "token",
            "Pw",
            "pin",
            "Bearer ",
            "authorization",
            "x-plex-token",
            "=",
            ":",
            ": ",
            "%3D",
            "%",
            "\"",
            "'",
            "\\",
            "\\\"",
            "{",
            "[",
            "}",
            ",",
            " ",
            "\n",
            "\u{1b}[3m",
            "\u{1b}",
            "\u{1b}[",
            "@",
            "://",
            "/",
            "?",
            "null",
            "1234",
            "ü",
            "𝄞",
            ".",
            "example.org",
        ];
        let piece = prop_oneof![4 => prop::sample::select(pieces.to_vec()).prop_map(str::to_owned), 1 => ".{0,6}"];
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn no_text_makes_scrubbing_panic_and_no_quoted_secret_survives_it(before in soup(), after in soup()) {
            let scrubbed = scrub(&format!("{before}\ntoken=\"s3cret\" {after}")).into_owned();
            prop_assert!(!scrubbed.contains("s3cret"), "{}", scrubbed);
        }

        #[test]
        fn a_line_of_json_stays_one_whatever_its_texts_are(message in soup(), name in soup(), secret in soup(), number in 0..10_000_u32) {
            let given = serde_json::json!({"message": message, "n": {"token": secret, "pin": number}, format!("x{name}"): [number, null]});
            let shown: serde_json::Value = serde_json::from_str(&scrub_json(&given.to_string())).map_err(|error| {
                TestCaseError::fail(format!("{error}: {given} became {}", scrub_json(&given.to_string())))
            })?;
            prop_assert_eq!(&shown["n"]["pin"], MASK);
            prop_assert_eq!(&shown["n"]["token"], if secret.is_empty() { "" } else { MASK });
            prop_assert_eq!(shown["message"].as_str(), Some(&*scrub(&message)));
        }
    }

    #[test]
    fn json_is_scrubbed_text_by_text_and_field_by_field() {
        let table = [
            (r#"{"token":"a\\","n":1}"#, r#"{"token":"***","n":1}"#),
            (
                r#"{"message":"pin=12, \"token\": \"x\"","at":-1.5e3}"#,
                r#"{"message":"pin=***, \"token\": \"***\"","at":-1.5e3}"#,
            ),
            (
                r#"{"span":{"pin": 1234,"name":"read"},"password":null}"#,
                r#"{"span":{"pin": "***","name":"read"},"password":null}"#,
            ),
        ];
        for (given, shown) in table {
            assert_eq!(scrub_json(given), shown);
        }
    }
}
