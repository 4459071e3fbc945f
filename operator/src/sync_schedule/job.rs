//! Jobs: what CronJobs make them from, and those that a user asks for by annotation.

use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyOnPodConditionsPattern,
    PodFailurePolicyRule,
};
use sha2::{Digest, Sha256};
use watchstate_crds::annotation;
use watchstate_crds::sync_schedule::Verb;
use watchstate_runtime::Exit;

use super::part::{self, Part};
use super::pod::{Blueprint, CONTAINER};

const DAY_SECONDS: i32 = 24 * 60 * 60;
/// How long a finished Job stays to be looked at: longer than a week, since some run once a week. There is one of each kind.
const KEEP_SECONDS: i32 = 8 * DAY_SECONDS;

/// What a part's Jobs are like.
pub fn spec(blueprint: &Blueprint, part: Part, more: &[String]) -> JobSpec {
    let limits = part.limits();
    JobSpec {
        active_deadline_seconds: Some(limits.active_deadline_seconds),
        backoff_limit: Some(limits.backoff_limit),
        pod_failure_policy: Some(failure_policy()),
        // With a failure policy Kubernetes waits until a pod is gone; saying so keeps what it fills in equal to what is wanted.
        pod_replacement_policy: Some("Failed".to_owned()),
        ttl_seconds_after_finished: Some(KEEP_SECONDS),
        template: blueprint.pod(part, more),
        ..JobSpec::default()
    }
}

/// To try again is of no use where the configuration is wrong or a plan waits for a person. A node that is drained is nobody's failure.
fn failure_policy() -> PodFailurePolicy {
    let codes = [Exit::Configuration, Exit::Held].map(|exit| i32::from(exit.code())).to_vec();
    PodFailurePolicy {
        rules: vec![
            PodFailurePolicyRule {
                action: "FailJob".to_owned(),
                on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
                    container_name: Some(CONTAINER.to_owned()),
                    operator: "In".to_owned(),
                    values: codes,
                }),
                on_pod_conditions: None,
            },
            PodFailurePolicyRule {
                action: "Ignore".to_owned(),
                on_exit_codes: None,
                on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
                    type_: "DisruptionTarget".to_owned(),
                    status: "True".to_owned(),
                }]),
            },
        ],
    }
}

/// The Job for a value of the annotation `requestedAt`: import, then export, as far as the schedule has them on; with neither, a push. None where it
/// has nothing of that on. The name follows from the value, so that one value makes one Job, however often it is looked at.
pub fn on_request(blueprint: &Blueprint, value: &str) -> Option<Job> {
    let verbs = part::verbs(&blueprint.schedule.spec);
    let on = |verb| verbs.contains(&verb);
    let (part, more): (Part, &[&str]) = match (on(Verb::Import), on(Verb::Export)) {
        (true, true) => (Part::Sync, &[]),
        (true, false) => (Part::Import, &["--wait"]),
        (false, true) => (Part::Export, &["--wait"]),
        (false, false) if on(Verb::Push) => (Part::Push, &["--wait"]),
        (false, false) => return None,
    };
    let more: Vec<String> = more.iter().map(|&arg| arg.to_owned()).collect();
    Some(asked(blueprint, part, annotation::REQUESTED_AT, value, &more))
}

/// The Job that lets a held run through.
pub fn approval(blueprint: &Blueprint, run: &str) -> Job {
    asked(blueprint, Part::Approve, annotation::APPROVE, run, &["--run".to_owned(), run.to_owned()])
}

fn asked(blueprint: &Blueprint, part: Part, annotation: &str, value: &str, more: &[String]) -> Job {
    // The schedule's uid: one of the same name that is made anew is another one.
    let digest: [u8; 32] = Sha256::digest(format!("{}\n{annotation}\n{value}", blueprint.owner.uid)).into();
    let [a, b, c, d, ..] = digest;
    let digest = u32::from_be_bytes([a, b, c, d]);
    let mut metadata = blueprint.metadata(format!("{}-{}-{digest:08x}", blueprint.name, part.name()), part);
    metadata.annotations = Some([(annotation.to_owned(), value.to_owned())].into());
    // Of these there may be many.
    let spec = JobSpec { ttl_seconds_after_finished: Some(DAY_SECONDS), ..spec(blueprint, part, more) };
    Job { metadata, spec: Some(spec), status: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync_schedule::fixtures::{FULL, blueprint, defaults, schedule, servers};

    #[test]
    fn one_value_makes_one_job_and_another_value_or_a_schedule_made_anew_makes_another() {
        let (one, servers, defaults) = (schedule("home", FULL), servers(), defaults());
        let mut anew = one.clone();
        anew.metadata.uid = Some("another".to_owned());
        let name = |schedule, value| {
            on_request(&blueprint(schedule, &servers, &defaults), value).unwrap().metadata.name.unwrap()
        };
        assert_eq!(name(&one, "now"), name(&one, "now"));
        assert_ne!(name(&one, "now"), name(&one, "later"));
        assert_ne!(name(&one, "now"), name(&anew, "now"));
    }

    #[test]
    fn a_request_does_what_the_schedule_has_on() {
        let (servers, defaults) = (servers(), defaults());
        for (spec, args) in [
            ("{import: {}, export: {}}", Some("sync --wait")),
            ("{import: {}, push: {}}", Some("import --wait")),
            ("{export: {}}", Some("export --wait")),
            ("{push: {}}", Some("push --wait")),
            ("{prune: {}}", None),
        ] {
            let schedule = schedule("home", spec);
            let job = on_request(&blueprint(&schedule, &servers, &defaults), "now");
            let found =
                job.map(|job| job.spec.unwrap().template.spec.unwrap().containers[0].args.clone().unwrap().join(" "));
            assert_eq!(found.as_deref(), args, "{spec}");
        }
    }

    #[test]
    fn jobs_that_users_ask_for_as_whole_objects() {
        let (schedule, servers, defaults) = (schedule("home", FULL), servers(), defaults());
        let blueprint = blueprint(&schedule, &servers, &defaults);
        insta::assert_yaml_snapshot!("sync", on_request(&blueprint, "2026-11-25T20:00:00Z"));
        insta::assert_yaml_snapshot!("approve", approval(&blueprint, "12"));
    }

    #[test]
    fn names_of_the_longest_schedule_fit() {
        let (long, servers, defaults) = (schedule(&"s".repeat(45), FULL), servers(), defaults());
        let blueprint = blueprint(&long, &servers, &defaults);
        for job in [on_request(&blueprint, "now").unwrap(), approval(&blueprint, "9223372036854775807")] {
            assert!(job.metadata.name.as_ref().unwrap().len() <= 63, "{:?}", job.metadata.name);
        }
    }
}
