//! The regular expressions of the schemas, each with the words that explain it to a person: an API
//! server shows the expression, [`crate::validate`] shows the words.

/// A DNS-1123 subdomain: what Kubernetes takes as the name of an object.
pub(crate) const NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// A key inside a Secret.
pub(crate) const KEY: &str = r"^[-._a-zA-Z0-9]+$";
/// A person, an account, a library: any text on one line, without blanks around it.
pub(crate) const LINE: &str = r"^\S(.*\S)?$";
/// Minute, hour, day of month, month, day of week. A `TZ=` in front cannot match.
pub(crate) const CRON: &str = r"^[0-9*,/-]+ +[0-9*,/-]+ +[0-9*,/?-]+ +[0-9A-Za-z*,/-]+ +[0-9A-Za-z*,/?-]+$";
/// A name of the tz database.
pub(crate) const TIME_ZONE: &str = r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$";
/// Go's notation, so that CEL's `duration()` reads it too; few digits, so that it cannot overflow.
pub(crate) const DURATION: &str = r"^([0-9]{1,5}(ms|s|m|h)){1,3}$";
/// How long something is kept.
pub(crate) const AGE: &str = r"^[1-9][0-9]{0,4}(h|d)$";
/// An S3 bucket.
pub(crate) const BUCKET: &str = r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$";
/// A label's value.
pub(crate) const LABEL_VALUE: &str = r"^([A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?)?$";

/// What a value has to be, in words, for each of the expressions above.
const WORDS: [(&str, &str); 9] = [
    (NAME, "a name of lower-case letters, digits, '-' and '.'"),
    (KEY, "a key of letters, digits, '-', '_' and '.'"),
    (LINE, "one line of text without blanks around it"),
    (
        CRON,
        "a cron expression of five fields (minute hour day month weekday), for example \"0 * * * *\"; the time zone belongs into timeZone",
    ),
    (TIME_ZONE, "a time zone of the tz database, for example Europe/Berlin or Etc/UTC"),
    (DURATION, "a duration with units (ms, s, m, h), for example 30s, 5m or 1h30m"),
    (AGE, "a number with the unit h or d, for example 36h or 90d"),
    (BUCKET, "a bucket's name: 3 to 63 lower-case letters, digits, '-' and '.'"),
    (
        LABEL_VALUE,
        "a label's value: at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit",
    ),
];

/// The words for an expression of ours.
pub(crate) fn words(pattern: &str) -> Option<&'static str> {
    WORDS.iter().find_map(|(known, words)| (*known == pattern).then_some(*words))
}
