//! What the schema can't say of schedules and time zones: a CronJob with them would be refused. The API server learns it from Kubernetes' own
//! checks, whoever has no cluster from here.

use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;

use super::SyncScheduleSpec;
use crate::validate::Problem;

/// Every schedule that no clock can follow, and a time zone that doesn't exist.
pub(crate) fn problems(spec: &SyncScheduleSpec) -> Vec<Problem> {
    let SyncScheduleSpec { import, export, push, prune, backup, .. } = spec;
    let schedules = [
        ("spec.import.schedule", import.as_ref().map(|import| &import.schedule)),
        ("spec.import.fullSchedule", import.as_ref().and_then(|import| import.full_schedule.as_ref())),
        ("spec.export.schedule", export.as_ref().map(|export| &export.schedule)),
        ("spec.push.schedule", push.as_ref().map(|push| &push.schedule)),
        ("spec.prune.schedule", prune.as_ref().map(|prune| &prune.schedule)),
        ("spec.backup.schedule", backup.as_ref().map(|backup| &backup.schedule)),
    ];
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let wrong = schedules.into_iter().filter_map(|(field, schedule)| {
        let schedule = schedule?;
        parser.parse(schedule).is_err().then(|| {
            let message = format!(
                "{schedule:?} is no time: expected are minute (0-59), hour (0-23), day (1-31), month (1-12) and weekday (0-7), such as 0 4 * * 0"
            );
            Problem::new(field, message)
        })
    });
    let zone = spec.time_zone.as_ref().filter(|zone| TimeZone::get(zone).is_err()).map(|zone| {
        let message =
            format!("there is no time zone {zone:?}; a name of the tz database is expected, such as Europe/Berlin");
        Problem::new("spec.timeZone", message)
    });
    wrong.chain(zone).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Export, Import, Push};
    use super::*;

    #[test]
    fn a_schedule_that_no_clock_follows_and_an_unknown_zone_are_told_with_field_and_value() {
        let spec = SyncScheduleSpec {
            time_zone: Some("Europe/Berln".to_owned()),
            import: Some(Import { schedule: "99 * * * *".to_owned(), full_schedule: Some("0 4 * * 8".to_owned()) }),
            export: Some(Export { schedule: "*/15 2-4 * * MON".to_owned() }),
            push: Some(Push::default()),
            ..SyncScheduleSpec::default()
        };
        let told: Vec<String> = problems(&spec).iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(
            told[0].starts_with("spec.import.schedule: \"99 * * * *\" is no time: expected are minute (0-59)"),
            "{told:?}"
        );
        assert!(told[1].starts_with("spec.import.fullSchedule: "), "{told:?}");
        assert!(told[2].starts_with("spec.timeZone: there is no time zone \"Europe/Berln\""), "{told:?}");
    }

    #[test]
    fn what_a_clock_follows_has_no_problem() {
        for (schedule, zone) in
            [("0 0 29 2 *", None), ("0 6 ? * ?", Some("Etc/UTC")), ("0 4 * * 7", Some("Europe/Berlin"))]
        {
            let import = Import { schedule: schedule.to_owned(), full_schedule: None };
            let time_zone = zone.map(str::to_owned);
            assert_eq!(
                problems(&SyncScheduleSpec { time_zone, import: Some(import), ..Default::default() }),
                [],
                "{schedule}"
            );
        }
    }
}
