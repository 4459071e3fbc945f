//! What became of the newest run of each verb: what the database tells of it, and Jobs and their pods for what never got as far as a row. Pure.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use watchstate_crds::sync_schedule::{Outcome, Verb, VerbStatus};
use watchstate_runtime::redact;

use super::ended::{Ended, Result as JobResult};
use crate::runs::Last;

/// So far the clock of a worker may be behind that of the API server.
const SKEW: SignedDuration = SignedDuration::from_secs(30);
/// The longest message of a verb.
const LONGEST: usize = 1_000;

/// The status of a verb. `before`: what it was. `last`: the verb's newest run that is through; None where there is none, or where the database is
/// away. `jobs`: the Jobs of the schedule. What neither tells stays as it was.
pub fn of_verb(
    verb: Verb,
    before: Option<&VerbStatus>,
    last: Option<&Last>,
    jobs: &[Ended],
    next: Option<Timestamp>,
) -> VerbStatus {
    let known = last.map(|last| from_run(verb, last)).or_else(|| before.cloned()).unwrap_or_else(|| nothing(verb));
    let job = jobs.iter().filter(|job| job.part.verbs().contains(&verb)).max_by_key(|job| job.started);
    let began = known.last_started_at.as_ref().map(|began| began.0);
    let mut status = match job {
        Some(job) if began.is_none_or(|began| began < back(job.started)) => from_job(verb, job),
        _ => known,
    };
    let succeeded = [
        last.and_then(|last| last.succeeded_at),
        before.and_then(|before| before.last_succeeded_at.as_ref()).map(|time| time.0),
        status.last_finished_at.as_ref().filter(|_| status.last_outcome == Some(Outcome::Succeeded)).map(|time| time.0),
    ];
    status.last_succeeded_at = succeeded.into_iter().flatten().max().map(Time);
    status.next_run_at = next.map(Time);
    status
}

fn back(moment: Timestamp) -> Timestamp {
    moment.checked_sub(SKEW).unwrap_or(moment)
}

fn nothing(verb: Verb) -> VerbStatus {
    VerbStatus {
        verb,
        last_run_id: None,
        last_outcome: None,
        last_started_at: None,
        last_finished_at: None,
        last_succeeded_at: None,
        next_run_at: None,
        counts: None,
        message: None,
    }
}

fn from_run(verb: Verb, last: &Last) -> VerbStatus {
    VerbStatus {
        last_run_id: Some(last.id.to_string()),
        last_outcome: Some(last.outcome),
        last_started_at: Some(Time(last.started_at)),
        last_finished_at: Some(Time(last.finished_at)),
        counts: Some(last.counts),
        message: last.message.as_deref().map(|message| shorten(&redact::scrub(message), LONGEST)),
        ..nothing(verb)
    }
}

fn from_job(verb: Verb, job: &Ended) -> VerbStatus {
    let (outcome, message) = match &job.result {
        JobResult::Succeeded => (Outcome::Succeeded, None),
        JobResult::Held => (Outcome::Held, None),
        JobResult::Failed(why) => (Outcome::Failed, Some(why.clone())),
    };
    VerbStatus {
        last_outcome: Some(outcome),
        last_started_at: Some(Time(job.started)),
        last_finished_at: Some(Time(job.finished)),
        message,
        ..nothing(verb)
    }
}

/// The text with at most so many characters.
pub fn shorten(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    text.chars().take(longest.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use watchstate_crds::sync_schedule::RunCounts;

    use super::*;
    use crate::sync_schedule::part::Part;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn run(id: i64, outcome: Outcome, message: Option<&str>) -> Last {
        Last {
            id,
            outcome,
            started_at: at(1_000 + id),
            finished_at: at(1_100 + id),
            succeeded_at: None,
            counts: RunCounts { read: 150, ..RunCounts::default() },
            message: message.map(str::to_owned),
        }
    }

    fn job(part: Part, started: i64, result: JobResult) -> Ended {
        Ended { name: "home-x-1".to_owned(), part, started: at(started), finished: at(started + 50), result }
    }

    #[test]
    fn a_run_is_told_as_the_database_has_it_without_what_must_not_be_shown() {
        let last = run(8, Outcome::PartlyFailed, Some("emby: refused http://emby/?api_key=s3cr3t"));
        let expected = VerbStatus {
            last_run_id: Some("8".to_owned()),
            last_outcome: Some(Outcome::PartlyFailed),
            last_started_at: Some(Time(at(1_008))),
            last_finished_at: Some(Time(at(1_108))),
            next_run_at: Some(Time(at(5_000))),
            counts: Some(last.counts),
            message: Some("emby: refused http://emby/?api_key=***".to_owned()),
            ..nothing(Verb::Import)
        };
        assert_eq!(of_verb(Verb::Import, None, Some(&last), &[], Some(at(5_000))), expected);
    }

    #[test]
    fn a_job_without_a_run_of_its_own_tells_by_itself_and_one_with_a_run_lets_the_run_tell() {
        let last = run(7, Outcome::Succeeded, None);
        let why = || JobResult::Failed("the image can't be pulled".to_owned());
        let failed = |started| of_verb(Verb::Import, None, Some(&last), &[job(Part::Import, started, why())], None);
        assert_eq!(failed(1_005).last_outcome, Some(Outcome::Succeeded), "the run is that Job's");
        assert_eq!(failed(1_030).last_outcome, Some(Outcome::Succeeded), "its node's clock is a little behind");
        let later = failed(2_000);
        assert_eq!(later.last_outcome, Some(Outcome::Failed));
        assert_eq!(later.message.as_deref(), Some("the image can't be pulled"));
        assert_eq!((later.last_run_id, later.counts), (None, None));
    }

    #[test]
    fn verbs_without_runs_in_the_database_are_told_by_their_jobs_and_by_no_others() {
        let jobs = [
            job(Part::Prune, 100, JobResult::Succeeded),
            job(Part::Sync, 200, JobResult::Failed("no".to_owned())),
            job(Part::Approve, 300, JobResult::Succeeded),
        ];
        let outcome = |verb| of_verb(verb, None, None, &jobs, None).last_outcome;
        assert_eq!(outcome(Verb::Prune), Some(Outcome::Succeeded));
        assert_eq!((outcome(Verb::Import), outcome(Verb::Export)), (Some(Outcome::Failed), Some(Outcome::Failed)));
        assert_eq!((outcome(Verb::Push), outcome(Verb::Backup)), (None, None));
    }

    #[test]
    fn what_nobody_tells_any_more_stays_known_and_the_last_success_outlives_failures() {
        let first = of_verb(Verb::Import, None, Some(&run(1, Outcome::Succeeded, None)), &[], None);
        assert_eq!(first.last_succeeded_at, Some(Time(at(1_101))));
        assert_eq!(of_verb(Verb::Import, Some(&first), None, &[], None), first);
        let failed = of_verb(Verb::Import, Some(&first), Some(&run(9, Outcome::Failed, None)), &[], None);
        assert_eq!((failed.last_outcome, failed.last_succeeded_at), (Some(Outcome::Failed), Some(Time(at(1_101)))));
        let told = Last { succeeded_at: Some(at(1_105)), ..run(9, Outcome::Failed, None) };
        let failed = of_verb(Verb::Import, Some(&first), Some(&told), &[], None);
        assert_eq!(failed.last_succeeded_at, Some(Time(at(1_105))), "while nobody looked, one went well");
    }
}
