//! A length of time as resources write it: `30s`, `5m`, `1h30m`, `90d`. It keeps the text it came
//! from, so that a resource that is read and written again does not change.

use std::str::FromStr;
use std::time::Duration as StdDuration;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

/// A length of time with its text, for example `1h30m`. Units: `ms`, `s`, `m`, `h` and `d` (24 hours).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Duration {
    text: String,
    value: StdDuration,
}

/// The text is no length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// A part is not a whole number followed by a unit, or there is no part.
    #[error("a duration is made of whole numbers with units (ms, s, m, h, d), for example 30s, 5m or 1h30m")]
    Malformed,
    /// More than 2^64 milliseconds.
    #[error("the duration is too long")]
    TooLong,
}

impl Duration {
    /// So many seconds, written as `60s`.
    pub fn seconds(number: u32) -> Self {
        Self::whole(number, "s", 1)
    }

    /// So many minutes, written as `5m`.
    pub fn minutes(number: u32) -> Self {
        Self::whole(number, "m", 60)
    }

    /// So many days, written as `30d`.
    pub fn days(number: u32) -> Self {
        Self::whole(number, "d", 86_400)
    }

    fn whole(number: u32, unit: &str, secs: u64) -> Self {
        Self { text: format!("{number}{unit}"), value: StdDuration::from_secs(u64::from(number) * secs) }
    }

    /// The length of time.
    pub fn get(&self) -> StdDuration {
        self.value
    }

    /// The text it was read from.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        if text.is_empty() {
            return Err(DurationError::Malformed);
        }
        let mut rest = text;
        let mut millis = 0_u64;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(DurationError::Malformed)?;
            let (number, after) = rest.split_at(digits);
            let unit_end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
            let (unit, next) = after.split_at(unit_end);
            let factor = match unit {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                _ => return Err(DurationError::Malformed),
            };
            if number.is_empty() {
                return Err(DurationError::Malformed);
            }
            millis = number
                .parse::<u64>()
                .ok()
                .and_then(|number| number.checked_mul(factor))
                .and_then(|part| millis.checked_add(part))
                .ok_or(DurationError::TooLong)?;
            rest = next;
        }
        Ok(Self { text: text.to_owned(), value: StdDuration::from_millis(millis) })
    }
}

impl TryFrom<String> for Duration {
    type Error = DurationError;

    fn try_from(text: String) -> Result<Self, DurationError> {
        text.parse()
    }
}

impl From<Duration> for String {
    fn from(duration: Duration) -> Self {
        duration.text
    }
}

impl std::fmt::Display for Duration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// A plain string: each field adds the pattern of what it takes.
impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(generate: &mut SchemaGenerator) -> Schema {
        String::json_schema(generate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_the_length_they_say() {
        for (text, millis) in [
            ("0s", 0),
            ("250ms", 250),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1m30s250ms", 90_250),
            ("90d", 7_776_000_000),
        ] {
            let duration: Duration = text.parse().unwrap();
            assert_eq!(duration.get().as_millis(), millis, "{text}");
            assert_eq!(duration.as_str(), text);
        }
    }

    #[test]
    fn texts_without_number_or_unit_are_refused() {
        for text in ["", "5", "s", "5 m", "-5m", "1.5h", "5x", "5m3", "5minutes"] {
            assert_eq!(text.parse::<Duration>(), Err(DurationError::Malformed), "{text}");
        }
        assert_eq!("99999999999999999999h".parse::<Duration>(), Err(DurationError::TooLong));
    }

    #[test]
    fn what_is_made_from_numbers_reads_back_as_itself() {
        for (duration, text) in
            [(Duration::seconds(60), "60s"), (Duration::minutes(5), "5m"), (Duration::days(30), "30d")]
        {
            assert_eq!(duration.to_string(), text);
            assert_eq!(text.parse(), Ok(duration));
        }
    }
}
