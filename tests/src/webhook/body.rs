//! Bodies of requests: how JSON, forms and multipart come from each server, with the peculiarities of what made them.

use std::fmt::Write as _;

use serde_json::Value;
use url::form_urlencoded;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Event, Shape};
use crate::plex::as_text;
use crate::world::hex;

/// A body and what it calls itself.
pub(super) struct Body {
    pub(super) content_type: String,
    pub(super) bytes: Vec<u8>,
}

impl Body {
    /// The body of an event.
    pub(super) fn new(shape: &Shape, event: &Event) -> Self {
        let json = event.payload.to_string();
        match shape {
            Shape::PlexMultipart => plex(&json, event.picture),
            Shape::Tautulli => Self::text("application/json", json),
            // Plain text is what .NET calls a text unless told otherwise, and it adds the encoding to whatever it is told.
            Shape::JellyfinText | Shape::JellyfinTemplate(_) => Self::text("text/plain; charset=utf-8", escaped(&json)),
            Shape::JellyfinJson => Self::text("application/json; charset=utf-8", escaped(&json)),
            Shape::JellyfinForm => {
                let fields = event.payload.as_object().into_iter().flatten();
                form(fields.map(|(name, value)| (name.as_str(), as_text(value))))
            }
            Shape::EmbyMultipart => emby(&json),
            Shape::EmbyForm => form([("data", json)]),
            Shape::EmbyJson => Self::text("application/json; charset=utf-8", json),
        }
    }

    fn text(content_type: &str, text: String) -> Self {
        Self { content_type: content_type.to_owned(), bytes: text.into_bytes() }
    }
}

fn form<'f>(fields: impl IntoIterator<Item = (&'f str, String)>) -> Body {
    let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    Body::text("application/x-www-form-urlencoded", text)
}

/// Plex writes multipart as curl does.
fn plex(json: &str, with_picture: bool) -> Body {
    let boundary = format!("------------------------{}", &hex(json)[..16]);
    let mut bytes = Vec::new();
    let mut part = |head: &str, content: &[u8]| {
        bytes.extend(format!("--{boundary}\r\n{head}\r\n\r\n").into_bytes());
        bytes.extend(content);
        bytes.extend(b"\r\n");
    };
    part("Content-Disposition: form-data; name=\"payload\"\r\nContent-Type: application/json", json.as_bytes());
    if with_picture {
        let head = "Content-Disposition: form-data; name=\"thumb\"; filename=\"thumb.jpg\"\r\nContent-Type: image/jpeg";
        part(head, &picture(json));
    }
    bytes.extend(format!("--{boundary}--\r\n").into_bytes());
    Body { content_type: format!("multipart/form-data; boundary={boundary}"), bytes }
}

/// Emby writes multipart as .NET does: with quotes round the boundary and none round the name.
fn emby(json: &str) -> Body {
    let digits = hex(json);
    let boundary = uuid::Uuid::try_parse(&digits).map_or(digits, |uuid| uuid.to_string());
    let head = "Content-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name=data";
    let text = format!("--{boundary}\r\n{head}\r\n\r\n{json}\r\n--{boundary}--\r\n");
    Body::text(&format!("multipart/form-data; boundary=\"{boundary}\""), text)
}

/// The frame of a JPEG with some ten thousand bytes of noise in it; nobody looks at it. All bytes occur in it.
fn picture(of: &str) -> Vec<u8> {
    const START: &[u8] = b"\xFF\xD8\xFF\xE0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00";
    let noise: Vec<u8> = (0..5_000).flat_map(|n| xxh3_64_with_seed(of.as_bytes(), n).to_le_bytes()).collect();
    let length = u16::try_from(noise.len() + 2).unwrap_or(u16::MAX).to_be_bytes();
    [START, b"\xFF\xFE", &length, &noise, b"\xFF\xD9"].concat()
}

/// JSON as .NET writes it: whatever isn't plain ASCII, or could be part of HTML, comes as `\uXXXX`.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    let escape = |text: &mut String, letter: char| {
        for unit in letter.encode_utf16(&mut [0; 2]) {
            // Writing to a string can't fail.
            let _ = write!(text, "\\u{unit:04X}");
        }
    };
    let mut letters = json.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('"') => escape(&mut text, '"'),
                other => text.extend(['\\'].into_iter().chain(other)),
            },
            '\'' | '&' | '<' | '>' | '+' | '`' => escape(&mut text, letter),
            letter if letter.is_ascii() => text.push(letter),
            letter => escape(&mut text, letter),
        }
    }
    text
}

/// All values of an object as text.
pub(super) fn as_texts(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(fields.into_iter().map(|(name, held)| (name, as_texts(held))).collect()),
        other => Value::String(as_text(&other)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn dotnet_escapes_letters_quotes_and_html_and_json_readers_undo_it() {
        let value = json!({ "Name": "Amélie & \\\"Co\\\" <1> \u{1F3AC}" });
        let text = escaped(&value.to_string());
        let expected = r#"{"Name":"Am\u00E9lie \u0026 \\\u0022Co\\\u0022 \u003C1\u003E \uD83C\uDFAC"}"#;
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn the_picture_is_some_ten_thousand_bytes_between_a_jpegs_marks() {
        let picture = picture("any");
        assert!((30_000..60_000).contains(&picture.len()));
        assert!(picture.starts_with(b"\xFF\xD8\xFF") && picture.ends_with(b"\xFF\xD9"));
    }
}
