//! Single values as servers really send them: numbers as text, text as numbers, dates out of any calendar. An odd value is
//! None; it never spoils the page it stands in. Text is borrowed from the page where it needs no unescaping.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Text as the database can hold it: Postgres takes no NUL.
pub(crate) fn storable(text: Cow<'_, str>) -> String {
    if text.contains('\0') { text.replace('\0', "") } else { text.into_owned() }
}

/// Any JSON value; what is no scalar is skipped.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum Scalar<'a> {
    #[default]
    Nothing,
    Flag(bool),
    Whole(i64),
    Fraction(f64),
    Text(Cow<'a, str>),
}

impl<'a> Scalar<'a> {
    pub(crate) fn into_text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(text),
            Self::Whole(number) => Some(Cow::Owned(number.to_string())),
            Self::Nothing | Self::Flag(_) | Self::Fraction(_) => None,
        }
    }

    fn number(&self) -> Option<i64> {
        match self {
            Self::Whole(number) => Some(*number),
            Self::Fraction(number) => whole(*number),
            Self::Text(text) => {
                let text = text.trim();
                text.parse().ok().or_else(|| text.parse().ok().and_then(whole))
            }
            Self::Nothing | Self::Flag(_) => None,
        }
    }

    fn flag(&self) -> Option<bool> {
        match self {
            Self::Flag(flag) => Some(*flag),
            Self::Whole(number) => Some(*number != 0),
            Self::Text(text) if text.eq_ignore_ascii_case("true") || text == "1" => Some(true),
            Self::Text(text) if text.eq_ignore_ascii_case("false") || text == "0" => Some(false),
            Self::Nothing | Self::Fraction(_) | Self::Text(_) => None,
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked, the fraction is meant to go")]
fn whole(number: f64) -> Option<i64> {
    (number.abs() < 9e15).then_some(number as i64)
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Flag(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Whole(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(number).map_or(Scalar::Nothing, Scalar::Whole))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Fraction(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(text)))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Nothing)
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Nothing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Nothing)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Nothing)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

/// For `deserialize_with`: text, or a whole number as text.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cow<'de, str>>, D::Error> {
    Scalar::deserialize(deserializer).map(Scalar::into_text)
}

/// For `deserialize_with`: a whole number that fits, also where it is written as text or with a fraction.
pub(crate) fn number<'de, D: Deserializer<'de>, T: TryFrom<i64>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Ok(Scalar::deserialize(deserializer)?.number().and_then(|number| T::try_from(number).ok()))
}

/// For `deserialize_with`: true or false, also where it is written as text or number.
pub(crate) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    Ok(Scalar::deserialize(deserializer)?.flag())
}

/// For `deserialize_with`: seconds since 1970.
pub(crate) fn epoch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let seconds = Scalar::deserialize(deserializer)?.number();
    Ok(seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()).and_then(plausible))
}

/// For `deserialize_with`: ISO 8601; without a zone it is UTC.
pub(crate) fn iso<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = Scalar::deserialize(deserializer)?.into_text();
    Ok(text.and_then(|text| parse_iso(&text)).and_then(plausible))
}

fn parse_iso(text: &str) -> Option<Timestamp> {
    text.parse().ok().or_else(|| {
        let local: DateTime = text.parse().ok()?;
        local.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    })
}

/// Dates of plays and of files: after 1970 (servers write year 1 or 0 for "none"), and not in another century. Whole microseconds, which is what
/// can be remembered of them: Jellyfin tells tenths of one, and what was remembered would differ from what is told at every reading.
fn plausible(stamp: Timestamp) -> Option<Timestamp> {
    const YEAR_2200: i64 = 7_258_118_400;
    (1..YEAR_2200)
        .contains(&stamp.as_second())
        .then(|| Timestamp::from_microsecond(stamp.as_microsecond()).unwrap_or(stamp))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Odd<'a> {
        #[serde(borrow, default, deserialize_with = "text")]
        text: Option<Cow<'a, str>>,
        #[serde(default, deserialize_with = "number")]
        number: Option<u32>,
        #[serde(default, deserialize_with = "flag")]
        flag: Option<bool>,
        #[serde(default, deserialize_with = "epoch")]
        epoch: Option<Timestamp>,
        #[serde(default, deserialize_with = "iso")]
        iso: Option<Timestamp>,
    }

    #[test]
    fn numbers_text_and_flags_are_read_in_every_spelling_and_odd_ones_are_none() {
        let numbers = [
            ("7", Some(7)),
            ("\"7\"", Some(7)),
            ("7.9", Some(7)),
            ("\"7.9\"", Some(7)),
            ("-7", None),
            ("99999999999", None),
            ("1e300", None),
            ("18446744073709551615", None),
            ("\"seven\"", None),
            ("null", None),
            ("[1]", None),
            ("{\"a\":{}}", None),
            ("true", None),
        ];
        for (json, expected) in numbers {
            let text = format!("{{\"number\":{json}}}");
            assert_eq!(serde_json::from_str::<Odd>(&text).unwrap().number, expected, "{json}");
        }
        let texts = [("\"a\"", Some("a")), ("12", Some("12")), ("null", None), ("[\"a\"]", None)];
        for (json, expected) in texts {
            let text = format!("{{\"text\":{json}}}");
            assert_eq!(serde_json::from_str::<Odd>(&text).unwrap().text.as_deref(), expected, "{json}");
        }
        let flags = [("true", Some(true)), ("0", Some(false)), ("\"True\"", Some(true)), ("\"maybe\"", None)];
        for (json, expected) in flags {
            let text = format!("{{\"flag\":{json}}}");
            assert_eq!(serde_json::from_str::<Odd>(&text).unwrap().flag, expected, "{json}");
        }
    }

    #[test]
    fn dates_without_sense_are_none() {
        let stamp = |second| Timestamp::from_second(second).ok();
        let epochs = [
            ("1700000000", stamp(1_700_000_000)),
            ("\"1700000000\"", stamp(1_700_000_000)),
            ("0", None),
            ("-5", None),
            ("9999999999999", None),
        ];
        for (json, expected) in epochs {
            let text = format!("{{\"epoch\":{json}}}");
            assert_eq!(serde_json::from_str::<Odd>(&text).unwrap().epoch, expected, "{json}");
        }
        let isos = [
            ("2023-11-14T22:13:20.0000000Z", stamp(1_700_000_000)),
            ("2023-11-14T23:13:20+01:00", stamp(1_700_000_000)),
            ("2023-11-14T22:13:20", stamp(1_700_000_000)),
            ("2023-11-14T22:13:20.1234567Z", Timestamp::from_microsecond(1_700_000_000_123_456).ok()),
            ("0001-01-01T00:00:00.0000000Z", None),
            ("yesterday", None),
        ];
        for (json, expected) in isos {
            let text = format!("{{\"iso\":\"{json}\"}}");
            assert_eq!(serde_json::from_str::<Odd>(&text).unwrap().iso, expected, "{json}");
        }
    }

    #[test]
    fn plain_text_is_borrowed_and_escaped_text_is_read() {
        let plain: Odd = serde_json::from_str(r#"{"text":"plain"}"#).unwrap();
        assert!(matches!(plain.text, Some(Cow::Borrowed("plain"))));
        let escaped: Odd = serde_json::from_str(r#"{"text":"Am\u00e9lie"}"#).unwrap();
        assert_eq!(escaped.text.as_deref(), Some("Amélie"));
    }
}
