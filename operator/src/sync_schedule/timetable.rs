//! When a CronJob runs next, as Kubernetes will see it. The API server stays the judge of what a schedule may look like.

use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The time zone of that name; None: there is none. Without a name it is UTC, as in most clusters.
pub fn zone(name: Option<&str>) -> Option<TimeZone> {
    name.map_or(Some(TimeZone::UTC), |name| TimeZone::get(name).ok())
}

/// The first moment after `now` at which a cron expression fires; None where it never does, or can't be read.
pub fn next(expression: &str, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let schedule = parser.parse(expression).ok()?;
    let next = schedule.find_next_occurrence(&now.to_zoned(zone.clone()), false).ok()?;
    Some(next.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_fires_next_by_the_clock_on_the_wall() {
        for (expression, zone_name, now, expected) in [
            ("0 * * * *", None, "2026-06-01T10:00:00Z", "2026-06-01T11:00:00Z"),
            ("0 * * * *", None, "2026-06-01T10:59:59.5Z", "2026-06-01T11:00:00Z"),
            ("*/10 * * * *", None, "2026-06-01T10:01:00Z", "2026-06-01T10:10:00Z"),
            ("0 */12 * * *", Some("Europe/Berlin"), "2026-06-01T10:30:00Z", "2026-06-01T22:00:00Z"),
            ("0 4 * * 0", Some("Europe/Berlin"), "2026-06-01T00:00:00Z", "2026-06-07T02:00:00Z"),
            ("0 4 * * SUN", Some("Europe/Berlin"), "2026-01-01T00:00:00Z", "2026-01-04T03:00:00Z"),
            ("0 4 * * 7", Some("Europe/Berlin"), "2026-01-01T00:00:00Z", "2026-01-04T03:00:00Z"),
            // With both days restricted, either will do.
            ("0 0 13 * 5", None, "2026-06-01T00:00:00Z", "2026-06-05T00:00:00Z"),
            ("0 6 ? * ?", None, "2026-06-01T00:00:00Z", "2026-06-01T06:00:00Z"),
            ("0 0 29 2 *", None, "2026-06-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            // 02:30 happens twice on that night; the first counts.
            ("30 2 * * *", Some("Europe/Berlin"), "2026-10-24T23:00:00Z", "2026-10-25T00:30:00Z"),
        ] {
            let zone = zone(zone_name).unwrap();
            let found = next(expression, &zone, now.parse().unwrap());
            assert_eq!(found, Some(expected.parse().unwrap()), "{expression} in {zone_name:?} after {now}");
        }
    }

    #[test]
    fn what_never_fires_or_is_no_schedule_has_no_next_moment() {
        for expression in ["0 0 31 2 *", "every hour", "0 0 * * * *", ""] {
            assert_eq!(next(expression, &TimeZone::UTC, Timestamp::UNIX_EPOCH), None, "{expression}");
        }
    }

    #[test]
    fn zones_are_known_by_their_names_wherever_the_operator_runs() {
        for (name, known) in
            [(None, true), (Some("Europe/Berlin"), true), (Some("Etc/UTC"), true), (Some("Europe/Atlantis"), false)]
        {
            assert_eq!(zone(name).is_some(), known, "{name:?}");
        }
    }
}
