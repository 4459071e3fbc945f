//! CronJobs: one a part that runs by the clock.

use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, JobTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::job;
use super::labels;
use super::part::Part;
use super::pod::Blueprint;

/// The CronJobs of a schedule.
pub fn all(blueprint: &Blueprint) -> Vec<CronJob> {
    Part::TIMED.into_iter().filter_map(|part| build(blueprint, part)).collect()
}

fn build(blueprint: &Blueprint, part: Part) -> Option<CronJob> {
    let spec = &blueprint.schedule.spec;
    let schedule = part.schedule(spec)?;
    let template = JobTemplateSpec {
        // By these the operator finds the schedule that a Job belongs to: its owner is the CronJob.
        metadata: Some(ObjectMeta { labels: Some(labels::of(blueprint.name, part)), ..ObjectMeta::default() }),
        spec: Some(job::spec(blueprint, part, &[])),
    };
    let spec = CronJobSpec {
        schedule: schedule.to_owned(),
        time_zone: spec.time_zone.clone(),
        suspend: Some(blueprint.suspended()),
        concurrency_policy: Some("Forbid".to_owned()),
        starting_deadline_seconds: Some(part.limits().starting_deadline_seconds),
        // What runs did is in the database and in the status; the last pod of each kind stays for its log.
        successful_jobs_history_limit: Some(1),
        failed_jobs_history_limit: Some(1),
        job_template: template,
    };
    let metadata = blueprint.metadata(format!("{}-{}", blueprint.name, part.name()), part);
    Some(CronJob { metadata, spec: Some(spec), status: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync_schedule::fixtures::{FULL, MINIMAL, blueprint, defaults, schedule, servers};

    fn names(cronjobs: &[CronJob]) -> Vec<&str> {
        cronjobs.iter().filter_map(|cronjob| cronjob.metadata.name.as_deref()).collect()
    }

    #[test]
    fn cronjobs_of_a_schedule_that_says_nothing_and_of_one_that_says_all_as_whole_objects() {
        let (minimal, full, servers, defaults) =
            (schedule("home", MINIMAL), schedule("home", FULL), servers(), defaults());
        let minimal = all(&blueprint(&minimal, &servers, &defaults));
        assert_eq!(names(&minimal), ["home-import"]);
        insta::assert_yaml_snapshot!("minimal", minimal[0]);
        let full = all(&blueprint(&full, &servers, &defaults));
        assert_eq!(
            names(&full),
            ["home-import", "home-full", "home-export", "home-prune", "home-backup"],
            "pushing is real-time"
        );
        for cronjob in full {
            insta::assert_yaml_snapshot!(cronjob.metadata.name.clone().unwrap(), cronjob);
        }
    }

    #[test]
    fn a_suspended_schedule_and_one_without_servers_keep_their_cronjobs_and_start_nothing() {
        let (servers, defaults) = (servers(), defaults());
        let (awake, asleep) = (schedule("home", "{import: {}}"), schedule("home", "{import: {}, suspend: true}"));
        for (schedule, servers, suspended) in
            [(&awake, &servers[..], false), (&asleep, &servers[..], true), (&awake, &[][..], true)]
        {
            let cronjobs = all(&blueprint(schedule, servers, &defaults));
            assert_eq!(cronjobs[0].spec.as_ref().unwrap().suspend, Some(suspended));
        }
    }

    #[test]
    fn names_of_the_longest_schedule_fit() {
        let (long, servers, defaults) = (schedule(&"s".repeat(45), FULL), servers(), defaults());
        for name in names(&all(&blueprint(&long, &servers, &defaults))) {
            assert!(name.len() <= 52, "{name}");
        }
    }
}
