//! Bodies that are urlencoded forms: Emby's with its JSON in one field, Jellyfin's *Generic Form* with a field for each property.

use percent_encoding::percent_decode;
use serde_json::{Map, Value};

const FORM: &str = "application/x-www-form-urlencoded";

/// The fields in which JSON is sent as a whole.
const WHOLE: [&str; 2] = ["data", "payload"];

/// The JSON that an urlencoded form holds, for [`super::read`]: the field `data` or `payload` if that is JSON, else an object of all fields.
///
/// None where the body is no such form, also if it is called one: JSON is then to be read as it is.
pub fn form_to_json(content_type: Option<&str>, body: &[u8]) -> Option<Vec<u8>> {
    let media_type = content_type?.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case(FORM) || looks_like_json(body) {
        return None;
    }
    let mut fields = Map::new();
    for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        let mut sides = pair.splitn(2, |byte| *byte == b'=');
        let name = String::from_utf8(decoded(sides.next().unwrap_or_default())).ok()?;
        let value = decoded(sides.next().unwrap_or_default());
        if WHOLE.contains(&name.as_str()) && looks_like_json(&value) {
            return Some(value);
        }
        fields.insert(name, Value::String(String::from_utf8(value).ok()?));
    }
    serde_json::to_vec(&fields).ok()
}

fn looks_like_json(body: &[u8]) -> bool {
    body.trim_ascii_start().first().is_some_and(|byte| matches!(byte, b'{' | b'['))
}

fn decoded(part: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = part.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_decode(&spaced).collect()
}
