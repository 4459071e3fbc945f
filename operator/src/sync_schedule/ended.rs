//! How Jobs ended and why pods don't start or can't be made, from what Kubernetes says of them. Pure.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::{Job, JobCondition};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use kube::ResourceExt;
use serde::Deserialize;
use watchstate_runtime::{Exit, redact};

use super::labels;
use super::outcome::shorten;
use super::part::Part;
use super::pod::CONTAINER;

/// The longest text of a pod that is repeated.
const LONGEST: usize = 600;
/// A Job that has no pod for so long gets none.
pub const NO_POD: SignedDuration = SignedDuration::from_secs(30);
/// The label by which Kubernetes ties a pod to its Job.
const JOB: &str = "batch.kubernetes.io/job-name";

/// A Job that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its name.
    pub name: String,
    /// What it did.
    pub part: Part,
    /// When it began.
    pub started: Timestamp,
    /// When it was over.
    pub finished: Timestamp,
    /// How.
    pub result: Result,
}

/// How a Job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Result {
    /// Well.
    Succeeded,
    /// The brake holds something.
    Held,
    /// Not well: why, and what to do.
    Failed(String),
}

/// The Jobs that are over. `pods`: those of the schedule, for what they say about failures.
pub fn ended(jobs: &[Job], pods: &[Pod]) -> Vec<Ended> {
    jobs.iter().filter_map(|job| one(job, pods)).collect()
}

fn one(job: &Job, pods: &[Pod]) -> Option<Ended> {
    let part = job.labels().get(labels::PART).and_then(|name| Part::named(name))?;
    let status = job.status.as_ref()?;
    let started = status.start_time.as_ref()?.0;
    let condition = |kind: &str| {
        status.conditions.iter().flatten().find(|condition| condition.type_ == kind && condition.status == "True")
    };
    let moment = |condition: &JobCondition| condition.last_transition_time.as_ref().map(|time| time.0);
    let (finished, result) = if let Some(complete) = condition("Complete") {
        (status.completion_time.as_ref().map(|time| time.0).or_else(|| moment(complete)), Result::Succeeded)
    } else {
        let failed = condition("Failed")?;
        (moment(failed), failure(part, failed, last_end(job, pods)))
    };
    Some(Ended { name: job.name_any(), part, started, finished: finished.unwrap_or(started), result })
}

/// How the newest of a Job's pods ended.
fn last_end<'a>(job: &Job, pods: &'a [Pod]) -> Option<&'a ContainerStateTerminated> {
    pods.iter()
        .filter(|pod| pod.labels().get(JOB) == job.metadata.name.as_ref())
        .filter_map(|pod| {
            let containers = pod.status.as_ref()?.container_statuses.as_ref()?;
            let container = containers.iter().find(|container| container.name == CONTAINER)?;
            container.state.as_ref()?.terminated.as_ref()
        })
        .max_by_key(|end| end.finished_at.as_ref().map(|time| time.0))
}

fn failure(part: Part, condition: &JobCondition, end: Option<&ContainerStateTerminated>) -> Result {
    if condition.reason.as_deref() == Some("DeadlineExceeded") {
        let hours = part.limits().active_deadline_seconds / 3_600;
        return Result::Failed(format!(
            "it took longer than {hours} h and was ended; what it had done is kept, and the next run goes on"
        ));
    }
    let Some(end) = end else {
        let why = condition.message.as_deref().unwrap_or("Kubernetes doesn't say why");
        return Result::Failed(shorten(&redact::scrub(why), LONGEST));
    };
    if end.exit_code == i32::from(Exit::Held.code()) {
        return Result::Held;
    }
    if end.reason.as_deref() == Some("OOMKilled") {
        return Result::Failed(
            "the pod needed more memory than it may use: raise spec.worker.resources.limits.memory".to_owned(),
        );
    }
    let said = said(end.message.as_deref().unwrap_or_default());
    let configuration = end.exit_code == i32::from(Exit::Configuration.code());
    Result::Failed(match (configuration, said) {
        (true, Some(said)) => format!("the configuration is wrong: {said}"),
        (true, None) => "the configuration is wrong; the pod's log says what".to_owned(),
        (false, Some(said)) => said,
        (false, None) => format!("the pod ended with exit code {}; its log says why", end.exit_code),
    })
}

/// A worker's summary, as far as it tells of errors.
#[derive(Deserialize)]
struct Summary {
    servers: Vec<Server>,
}

#[derive(Deserialize)]
struct Server {
    #[serde(default)]
    errors: Vec<String>,
}

/// What a termination message says to a person: the errors of a summary, or the last line of a log.
fn said(message: &str) -> Option<String> {
    let text = if let Ok(summary) = serde_json::from_str::<Summary>(message) {
        summary.servers.into_iter().flat_map(|server| server.errors).collect::<Vec<_>>().join("; ")
    } else {
        let line = message.lines().rev().find(|line| !line.trim().is_empty())?.trim();
        line.strip_prefix("error: ").unwrap_or(line).to_owned()
    };
    (!text.is_empty()).then(|| shorten(&redact::scrub(&text), LONGEST))
}

/// Why a pod of the schedule doesn't start, and what to do: one sentence a cause, each once.
pub fn stuck(pods: &[Pod]) -> Vec<String> {
    let mut causes: Vec<String> = pods.iter().filter_map(cause).collect();
    causes.sort();
    causes.dedup();
    causes
}

fn cause(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let part = pod.labels().get(labels::PART).map_or("a pod", String::as_str);
    let container = status.container_statuses.iter().flatten().find(|container| container.name == CONTAINER);
    let waiting = container.and_then(|container| Some((container, container.state.as_ref()?.waiting.as_ref()?)));
    if let Some((container, waiting)) = waiting {
        let said = waiting.message.as_deref().unwrap_or_default();
        let what = match waiting.reason.as_deref()? {
            "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" | "InvalidImageName" => format!(
                "{part}: the image {} can't be had; correct spec.worker.image or spec.worker.imagePullSecrets, or what the operator was installed with",
                container.image
            ),
            "CreateContainerConfigError" => {
                format!("{part}: a Secret that the pod needs is missing, or a key in it: {said}")
            }
            "CreateContainerError" | "RunContainerError" => format!("{part}: the container can't be started: {said}"),
            "CrashLoopBackOff" => {
                let end = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
                let said = end.and_then(|end| end.message.as_deref()).and_then(self::said);
                format!("{part}: the pod ends again and again: {}", said.as_deref().unwrap_or("its log says why"))
            }
            _ => return None,
        };
        return Some(shorten(&redact::scrub(&what), LONGEST));
    }
    let unscheduled = status.conditions.iter().flatten().find(|condition| {
        condition.type_ == "PodScheduled"
            && condition.status == "False"
            && condition.reason.as_deref() == Some("Unschedulable")
    })?;
    let said = unscheduled.message.as_deref().unwrap_or_default();
    let what = format!(
        "{part}: no node takes the pod; see spec.worker (resources, nodeSelector, tolerations, affinity) and the volume of backups: {said}"
    );
    Some(shorten(&redact::scrub(&what), LONGEST))
}

/// The Jobs that run and have no pod yet.
pub fn without_pod<'a>(jobs: &'a [Job], pods: &[Pod]) -> impl Iterator<Item = &'a Job> {
    let has_pod = |job: &Job| pods.iter().any(|pod| pod.labels().get(JOB) == job.metadata.name.as_ref());
    let none = |count: Option<i32>| count.unwrap_or_default() == 0;
    let unbegun = |job: &Job| {
        job.status.as_ref().is_none_or(|status| {
            let over = status.conditions.iter().flatten().any(|condition| condition.status == "True");
            !over && none(status.active) && none(status.succeeded) && none(status.failed) && none(status.terminating)
        })
    };
    let without: Vec<&Job> = jobs
        .iter()
        .filter(|job| job.metadata.deletion_timestamp.is_none() && job.labels().contains_key(labels::PART))
        .filter(|job| unbegun(job) && !has_pod(job))
        .collect();
    without.into_iter()
}

/// Why pods can't be made, and what to do. Of a Job Kubernetes tells it in events alone.
pub fn unmade(jobs: &[Job], pods: &[Pod], deployments: &[Deployment], now: Timestamp) -> Vec<String> {
    let waiting = |job: &&Job| {
        let made = job.metadata.creation_timestamp.as_ref();
        made.is_some_and(|made| now.duration_since(made.0) >= NO_POD)
    };
    let of_jobs = without_pod(jobs, pods).filter(waiting).map(|job| {
        let name = job.name_any();
        let part = job.labels().get(labels::PART).map_or("a Job", String::as_str);
        format!(
            "{part}: Kubernetes makes no pod for the Job {name}, for lack of quota, a ServiceAccount, a PriorityClass or by a policy: kubectl describe job {name} says why"
        )
    });
    let of_deployments = deployments.iter().filter_map(|deployment| {
        let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
        let failure =
            conditions.iter().find(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True")?;
        let said = failure.message.as_deref().unwrap_or("Kubernetes doesn't say why");
        let part = deployment.labels().get(labels::PART).map_or("a Deployment", String::as_str);
        Some(shorten(&redact::scrub(&format!("{part}: the pod can't be made: {said}")), LONGEST))
    });
    of_jobs.chain(of_deployments).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(part: &str, status: &str) -> Job {
        let text =
            format!("{{metadata: {{name: home-{part}-1, labels: {{watchstate.dev/part: {part}}}}}, status: {status}}}");
        serde_saphyr::from_str(&text).unwrap()
    }

    fn pod(job: &str, status: &str) -> Pod {
        let labels = format!("labels: {{batch.kubernetes.io/job-name: {job}, watchstate.dev/part: import}}");
        serde_saphyr::from_str(&format!("{{metadata: {{name: {job}-abcde, {labels}}}, status: {status}}}")).unwrap()
    }

    const COMPLETE: &str = "{startTime: '2026-01-01T00:00:00Z', completionTime: '2026-01-01T00:01:00Z', conditions: [{type: Complete, status: 'True'}]}";

    fn failed(reason: &str) -> String {
        format!(
            "{{startTime: '2026-01-01T00:00:00Z', conditions: [{{type: Failed, status: 'True', reason: {reason}, message: said by Kubernetes, \
             lastTransitionTime: '2026-01-01T00:02:00Z'}}]}}"
        )
    }

    fn terminated(end: &str) -> String {
        format!(
            "{{containerStatuses: [{{name: worker, image: i, imageID: '', ready: false, restartCount: 0, state: {{terminated: {end}}}}}]}}"
        )
    }

    #[test]
    fn a_job_that_runs_has_not_ended_and_one_of_somebody_else_is_not_ours() {
        assert_eq!(
            ended(&[job("import", "{startTime: '2026-01-01T00:00:00Z', active: 1}"), job("theirs", COMPLETE)], &[]),
            []
        );
        let done = ended(&[job("import", COMPLETE)], &[]);
        assert_eq!((done[0].part, &done[0].result), (Part::Import, &Result::Succeeded));
        assert_eq!(done[0].finished.to_string(), "2026-01-01T00:01:00Z");
    }

    #[test]
    fn a_failed_job_says_what_happened_and_what_to_do() {
        for (reason, end, expected) in [
            ("DeadlineExceeded", None, "it took longer than 6 h"),
            ("BackoffLimitExceeded", None, "said by Kubernetes"),
            (
                "BackoffLimitExceeded",
                Some("{exitCode: 137, reason: OOMKilled}"),
                "raise spec.worker.resources.limits.memory",
            ),
            (
                "PodFailurePolicy",
                Some(r#"{exitCode: 2, message: "error: there is no SyncSchedule\n"}"#),
                "the configuration is wrong: there is no SyncSchedule",
            ),
            ("PodFailurePolicy", Some("{exitCode: 2}"), "the configuration is wrong; the pod's log says what"),
            (
                "BackoffLimitExceeded",
                Some(r#"{exitCode: 1, message: "a line\nerror: no connection to the database\n\n"}"#),
                "no connection to the database",
            ),
            ("BackoffLimitExceeded", Some("{exitCode: 101}"), "exit code 101"),
            (
                "BackoffLimitExceeded",
                Some(
                    r#"{exitCode: 1, message: '{"job":"x","servers":[{"server":"plex","errors":["plex: away"]},{"server":"emby"}]}'}"#,
                ),
                "plex: away",
            ),
        ] {
            let pods: Vec<Pod> = end.into_iter().map(|end| pod("home-import-1", &terminated(end))).collect();
            let found = ended(&[job("import", &failed(reason))], &pods).remove(0).result;
            let Result::Failed(why) = found else { panic!("{found:?}") };
            assert!(why.contains(expected), "{why}");
        }
    }

    #[test]
    fn a_job_that_the_brake_ended_is_held_and_did_not_fail() {
        let pods = [pod("home-import-1", &terminated("{exitCode: 3}"))];
        assert_eq!(ended(&[job("import", &failed("PodFailurePolicy"))], &pods)[0].result, Result::Held);
    }

    #[test]
    fn the_newest_pod_of_the_job_tells_and_pods_of_other_jobs_do_not() {
        let at = |job: &str, second: u8, text: &str| {
            pod(
                job,
                &terminated(&format!("{{exitCode: 1, message: {text}, finishedAt: '2026-01-01T00:00:0{second}Z'}}")),
            )
        };
        let pods = [at("home-import-1", 2, "newest"), at("home-import-1", 1, "first"), at("home-import-2", 3, "other")];
        assert_eq!(
            ended(&[job("import", &failed("BackoffLimitExceeded"))], &pods)[0].result,
            Result::Failed("newest".to_owned())
        );
    }

    #[test]
    fn a_token_in_a_log_stays_there() {
        let pods =
            [pod("home-import-1", &terminated("{exitCode: 1, message: 'http://plex/?X-Plex-Token=s3cr3t refused'}"))];
        let found = format!("{:?}", ended(&[job("import", &failed("BackoffLimitExceeded"))], &pods));
        assert!(found.contains("refused") && !found.contains("s3cr3t"), "{found}");
    }

    #[test]
    fn a_pod_that_does_not_start_says_what_to_correct() {
        let waiting = |reason: &str| {
            pod(
                "j",
                &format!(
                    "{{phase: Pending, containerStatuses: [{{name: worker, image: 'x:1', imageID: '', ready: false, restartCount: 0, state: {{waiting: {{reason: {reason}, message: 'secret \"pg\" not found'}}}}}}]}}"
                ),
            )
        };
        let crashing = pod(
            "j",
            r#"{phase: Running, containerStatuses: [{name: worker, image: i, imageID: "", ready: false, restartCount: 3,
                state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 2, message: "error: can't follow changes: no such schedule\n"}}}]}"#,
        );
        let unscheduled = pod(
            "j",
            "{phase: Pending, conditions: [{type: PodScheduled, status: 'False', reason: Unschedulable, message: 0/1 nodes}]}",
        );
        let running = pod(
            "j",
            "{phase: Running, containerStatuses: [{name: worker, image: i, imageID: '', ready: true, restartCount: 0}]}",
        );
        for (pods, expected) in [
            (vec![waiting("ImagePullBackOff"), waiting("ErrImagePull")], vec!["spec.worker.image"]),
            (vec![waiting("CreateContainerConfigError")], vec!["secret \"pg\" not found"]),
            (vec![unscheduled], vec!["nodeSelector"]),
            (vec![crashing], vec!["follow changes: no such schedule"]),
            (vec![waiting("ContainerCreating"), running], vec![]),
        ] {
            let found = stuck(&pods);
            assert_eq!(found.len(), expected.len(), "{found:?}");
            assert!(found.iter().zip(&expected).all(|(found, expected)| found.contains(expected)), "{found:?}");
        }
    }

    #[test]
    fn a_pod_that_is_not_made_is_told_once_it_should_have_been() {
        let job = |status: &str| -> Job {
            let text = format!(
                "{{metadata: {{name: home-import-1, creationTimestamp: '2026-01-01T00:00:00Z', labels: {{watchstate.dev/part: import}}}}, status: {status}}}"
            );
            serde_saphyr::from_str(&text).unwrap()
        };
        let (soon, later) = ("2026-01-01T00:00:29Z", "2026-01-01T00:00:30Z");
        let begun = "{startTime: '2026-01-01T00:00:00Z', ready: 0}";
        let cases = vec![
            (job(begun), vec![], later, true),
            (job("{}"), vec![], later, true),
            (job(begun), vec![], soon, false),
            (job(begun), vec![pod("home-import-1", "{phase: Pending}")], later, false),
            (job("{startTime: '2026-01-01T00:00:00Z', active: 1}"), vec![], later, false),
            (job("{startTime: '2026-01-01T00:00:00Z', failed: 1}"), vec![], later, false),
            (job(COMPLETE), vec![], later, false),
            (job("{conditions: [{type: Suspended, status: 'True'}]}"), vec![], later, false),
        ];
        for (job, pods, now, told) in cases {
            let found = unmade(std::slice::from_ref(&job), &pods, &[], now.parse().unwrap());
            assert_eq!(found.len(), usize::from(told), "{job:?}: {found:?}");
            assert!(found.iter().all(|found| found.contains("kubectl describe job home-import-1")), "{found:?}");
        }
    }

    #[test]
    fn of_a_follower_kubernetes_says_why_its_pod_is_not_made() {
        let deployment = |conditions: &str| -> Deployment {
            let text = format!(
                "{{metadata: {{name: home-follow, labels: {{watchstate.dev/part: follow}}}}, status: {{conditions: [{conditions}]}}}}"
            );
            serde_saphyr::from_str(&text).unwrap()
        };
        let failing = deployment(
            "{type: ReplicaFailure, status: 'True', reason: FailedCreate, message: 'pods \"home-follow-\" is forbidden: exceeded quota'}",
        );
        let well = deployment("{type: Available, status: 'True'}, {type: ReplicaFailure, status: 'False'}");
        let now = Timestamp::UNIX_EPOCH;
        let found = unmade(&[], &[], &[failing, well], now);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("follow: ") && found[0].contains("exceeded quota"), "{found:?}");
    }
}
