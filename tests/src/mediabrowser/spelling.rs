//! How Jellyfin and Emby write things: dates with seven digits, names of providers, camel case on request.

use http::StatusCode;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use crate::http::{Answer, Call};

/// `2024-01-02T03:04:05.6780000Z`.
pub(crate) fn date(at: Timestamp) -> String {
    format!("{}.{:07}Z", at.strftime("%Y-%m-%dT%H:%M:%S"), at.subsec_nanosecond().max(0) / 100)
}

/// An ISO date; one without a zone is UTC.
pub(super) fn read_date(text: &str) -> Option<Timestamp> {
    let civil = || text.parse::<DateTime>().ok().and_then(|at| at.to_zoned(TimeZone::UTC).ok());
    text.parse().ok().or_else(|| civil().map(|at| at.timestamp()))
}

/// The date as the old API writes it: `yyyyMMddHHmmss`, UTC.
pub(super) fn read_compact_date(text: &str) -> Option<Timestamp> {
    let compact = text.len() == 14 && text.bytes().all(|byte| byte.is_ascii_digit());
    let at = compact.then(|| DateTime::strptime("%Y%m%d%H%M%S", text).ok()).flatten()?;
    at.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp())
}

/// The provider's name in the server's own spelling.
pub(crate) fn provider(name: &str) -> String {
    let known = ["Imdb", "Tmdb", "Tvdb", "TvRage", "AniDB", "AniList", "TvMaze", "Zap2It"];
    let found = known.iter().find(|known| known.eq_ignore_ascii_case(name));
    found.map_or_else(|| name.to_owned(), |known| (*known).to_owned())
}

/// Leaves out what is null: the servers never write it.
pub(super) fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let kept = object.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name, without_nulls(value))).collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

/// Jellyfin writes `camelCase` names for `Accept: application/json; profile="CamelCase"`.
pub(super) fn as_asked(call: &Call, answer: Answer) -> Answer {
    let camel = wants_camel_case(call.header("accept").unwrap_or_default());
    if !camel || answer.status != StatusCode::OK || answer.body.is_empty() {
        return answer;
    }
    match serde_json::from_slice(&answer.body) {
        Ok(value) => Answer { body: camel_case(value, false).to_string().into(), ..answer },
        Err(_) => answer,
    }
}

/// Of several media types the first of the greatest quality decides; plain JSON is in Pascal case.
fn wants_camel_case(accept: &str) -> bool {
    let accept = accept.to_ascii_lowercase().replace([' ', '"'], "");
    let quality = |entry: &str| {
        let quality = entry.split(';').find_map(|part| part.strip_prefix("q="));
        quality.and_then(|quality| quality.parse::<f32>().ok()).unwrap_or(1.0)
    };
    // Reversed, since of equals the last is the greatest.
    let best = accept.split(',').rev().max_by(|one, other| quality(one).total_cmp(&quality(other)));
    best.is_some_and(|entry| entry.contains("profile=camelcase"))
}

/// `dictionary`: names are data (`ProviderIds`) and stay.
fn camel_case(value: Value, dictionary: bool) -> Value {
    match value {
        Value::Object(object) => {
            let renamed: Map<String, Value> = object
                .into_iter()
                .map(|(name, value)| {
                    let inside = matches!(name.as_str(), "ProviderIds" | "ImageTags" | "ImageBlurHashes");
                    let value = camel_case(value, inside);
                    (if dictionary { name } else { lower_first(&name) }, value)
                })
                .collect();
            Value::Object(renamed)
        }
        Value::Array(values) => Value::Array(values.into_iter().map(|value| camel_case(value, false)).collect()),
        other => other,
    }
}

fn lower_first(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_seven_digits_and_are_read_with_or_without_a_zone() {
        let at: Timestamp = "2024-01-02T03:04:05.678Z".parse().unwrap();
        assert_eq!(date(at), "2024-01-02T03:04:05.6780000Z");
        assert_eq!(read_date(&date(at)), Some(at));
        assert_eq!(read_date("2024-01-02T03:04:05.678"), Some(at));
        assert_eq!(read_date("2024-01-02T05:04:05.678+02:00"), Some(at));
        assert_eq!(read_date("yesterday"), None);
    }

    #[test]
    fn the_first_of_the_best_media_types_decides_the_case() {
        let sdk = "application/json,application/json; profile=CamelCase,application/json; profile=PascalCase,text/html";
        assert!(!wants_camel_case(sdk));
        assert!(wants_camel_case("application/json; profile=\"CamelCase\""));
        assert!(wants_camel_case("application/json;q=0.5, application/json;profile=CamelCase"));
        assert!(!wants_camel_case("*/*"));
    }

    #[test]
    fn the_compact_date_is_digits_only() {
        assert_eq!(read_compact_date("20240102030405"), "2024-01-02T03:04:05Z".parse().ok());
        assert_eq!(read_compact_date("2024-01-02T03:04:05Z"), None);
    }
}
