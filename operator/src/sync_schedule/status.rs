//! The status of a schedule, from all that was seen. Pure: the same sight makes the same status, so that nothing is written where nothing changed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use watchstate_crds::condition::{self, State, reason};
use watchstate_crds::sync_schedule::{HeldRun, Outcome, Verb, VerbStatus};
use watchstate_crds::{SyncSchedule, SyncScheduleSpec, SyncScheduleStatus};

use super::ended::{self, Ended};
use super::outcome::{self, shorten};
use super::part::{self, Part};
use super::selection::{self, Selected};
use super::timetable;
use crate::runs::{Held, Last};

/// More servers and held runs aren't listed; the schema takes no more.
const SERVERS: usize = 100;
const HELD_RUNS: usize = 20;
/// The API server takes 32768 characters; nobody reads as many.
const LONGEST: usize = 2_000;

/// What a reconcile saw.
#[derive(Debug, Clone)]
pub struct Sight {
    /// The servers that take part.
    pub selected: Selected,
    /// What the database tells; None: it is away.
    pub records: Option<Records>,
    /// The Jobs that are over.
    pub jobs: Vec<Ended>,
    /// Why pods don't start: one sentence a cause.
    pub stuck: Vec<String>,
    /// Whether the follower's pod is up; None: there should be none.
    pub follower: Option<bool>,
    /// Why what the spec asks for can't be made.
    pub refused: Option<String>,
    /// Why nobody could look at the children; None: somebody did.
    pub unsettled: Option<String>,
    /// The value of the annotation `requestedAt` that was acted on.
    pub requested_at: Option<String>,
    /// The value of the annotation `approve` that was acted on.
    pub approval: Option<String>,
}

/// What the database tells of a schedule.
#[derive(Debug, Clone, Default)]
pub struct Records {
    /// The newest run of each verb that is through.
    pub runs: BTreeMap<Verb, Last>,
    /// The runs that the brake holds.
    pub held: Vec<Held>,
}

/// The status that says so.
pub fn of(schedule: &SyncSchedule, sight: &Sight, now: Timestamp) -> SyncScheduleStatus {
    let spec = &schedule.spec;
    let before = schedule.status.clone().unwrap_or_default();
    let zone = timetable::zone(spec.time_zone.as_deref());
    let runs = !spec.suspend && !sight.selected.servers.is_empty();
    let verbs: Vec<VerbStatus> = part::verbs(spec)
        .into_iter()
        .map(|verb| {
            let known = before.verbs.iter().find(|status| status.verb == verb);
            // Without its Jobs a run that never came to the database would be forgotten: what is known stays.
            let records = sight.records.as_ref().filter(|_| sight.unsettled.is_none());
            let last = records.and_then(|records| records.runs.get(&verb));
            let next = zone.as_ref().filter(|_| runs).and_then(|zone| next_run(spec, verb, zone, now));
            outcome::of_verb(verb, known, last, &sight.jobs, next)
        })
        .collect();
    let held_runs = sight.records.as_ref().map_or_else(|| before.held_runs.clone(), |records| held_runs(&records.held));

    let mut conditions = before.conditions.clone();
    let generation = schedule.metadata.generation;
    let put = |conditions: &mut Vec<Condition>, kind: &str, verdict: &Verdict| {
        let message = shorten(&verdict.message, LONGEST);
        condition::set(conditions, kind, verdict.state, verdict.reason, &message, generation, now);
    };
    let ready = ready(spec, sight);
    let held = held(&held_runs, sight, &before.conditions);
    for (kind, verdict) in
        [(condition::READY, &ready), (condition::LAST_RUN_SUCCEEDED, &last_run(&verbs)), (condition::HELD, &held)]
    {
        put(&mut conditions, kind, verdict);
    }
    // These two are there only while they hold.
    for (kind, holds) in
        [(condition::STALLED, ready.is_stalled()), (condition::RECONCILING, ready.reason == reason::PROGRESSING)]
    {
        if holds {
            put(&mut conditions, kind, &Verdict { state: State::True, ..ready.clone() });
        } else {
            condition::clear(&mut conditions, kind);
        }
    }

    SyncScheduleStatus {
        observed_generation: generation,
        conditions,
        servers: sight
            .selected
            .servers
            .iter()
            .filter_map(|server| server.metadata.name.clone())
            .take(SERVERS)
            .collect(),
        last_run_at: moments(&verbs, |verb| verb.last_finished_at.as_ref()).max().map(Time),
        next_run_at: moments(&verbs, |verb| verb.next_run_at.as_ref()).min().map(Time),
        verbs,
        held_runs,
        last_handled_requested_at: sight.requested_at.clone(),
        last_handled_approval: sight.approval.clone(),
    }
}

fn moments(verbs: &[VerbStatus], which: fn(&VerbStatus) -> Option<&Time>) -> impl Iterator<Item = Timestamp> {
    verbs.iter().filter_map(move |verb| which(verb).map(|time| time.0))
}

fn next_run(spec: &SyncScheduleSpec, verb: Verb, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
    let parts = Part::TIMED.into_iter().filter(|part| part.verbs().contains(&verb));
    parts.filter_map(|part| timetable::next(part.schedule(spec)?, zone, now)).min()
}

/// What a condition says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Verdict {
    state: State,
    reason: &'static str,
    message: String,
}

impl Verdict {
    fn new(state: State, reason: &'static str, message: impl Into<String>) -> Self {
        Self { state, reason, message: message.into() }
    }

    /// Nothing gets better until somebody changes the spec.
    fn is_stalled(&self) -> bool {
        [reason::INVALID_SPEC, reason::NOTHING_TO_DO].contains(&self.reason)
    }
}

/// Whether all that the spec asks for is in place. Everything that isn't is told, the gravest first: it gives the reason.
fn ready(spec: &SyncScheduleSpec, sight: &Sight) -> Verdict {
    let troubles = troubles(spec, sight);
    if let Some((reason, _)) = troubles.first() {
        let message = troubles.iter().map(|(_, message)| message.as_str()).collect::<Vec<_>>().join(". ");
        return Verdict::new(State::False, reason, message);
    }
    if spec.suspend {
        return Verdict::new(State::True, reason::SUSPENDED, "spec.suspend is set: nothing runs");
    }
    if sight.follower == Some(false) {
        return Verdict::new(State::False, reason::PROGRESSING, "the pod that follows changes is not up yet");
    }
    Verdict::new(State::True, reason::READY, "everything is in place")
}

/// What isn't in place, with the reason for it, the gravest first.
fn troubles(spec: &SyncScheduleSpec, sight: &Sight) -> Vec<(&'static str, String)> {
    let mut troubles = Vec::new();
    let mut trouble = |reason, message: String| troubles.push((reason, message));
    if let Some(zone) = spec.time_zone.as_deref().filter(|zone| timetable::zone(Some(zone)).is_none()) {
        trouble(
            reason::INVALID_SPEC,
            format!(
                "spec.timeZone: there is no time zone {zone:?}; a name of the tz database is expected, such as Europe/Berlin"
            ),
        );
    } else if let Some(refused) = &sight.refused {
        trouble(reason::INVALID_SPEC, refused.clone());
    }
    if part::verbs(spec).is_empty() {
        trouble(
            reason::NOTHING_TO_DO,
            "no part is on: give the spec one of import, export, push, prune and backup, {} for its defaults"
                .to_owned(),
        );
    }
    if sight.records.is_none() {
        trouble(
            reason::DATABASE_UNAVAILABLE,
            "the database does not answer, so runs can't do anything; it is tried again".to_owned(),
        );
    }
    // Nothing is in the way of what doesn't run.
    if !spec.suspend {
        troubles.extend(obstacles(sight));
    }
    // It passes, so what doesn't gives the reason.
    troubles.extend(sight.unsettled.as_ref().map(|why| (reason::PROGRESSING, format!("{why}; it is tried again"))));
    troubles
}

/// What is in the way of runs.
fn obstacles(sight: &Sight) -> Vec<(&'static str, String)> {
    let mut troubles = Vec::new();
    let mut trouble = |reason, message: String| troubles.push((reason, message));
    if !sight.selected.unknown.is_empty() {
        let names = sight.selected.unknown.join(", ");
        trouble(
            reason::SERVERS_NOT_FOUND,
            format!("spec.servers.names: there is no MediaServer {names}; the others are synced"),
        );
    }
    if sight.selected.servers.is_empty() {
        trouble(
            reason::NO_SERVERS,
            "no MediaServer takes part, so nothing runs: make one, or change spec.servers".to_owned(),
        );
    }
    if !sight.stuck.is_empty() {
        trouble(reason::PODS_NOT_STARTING, sight.stuck.join("; "));
    }
    let unready: Vec<String> = sight.selected.servers.iter().filter_map(|server| selection::trouble(server)).collect();
    if !unready.is_empty() {
        trouble(reason::SERVERS_NOT_READY, format!("not ready: {}; the others are synced", unready.join(", ")));
    }
    troubles
}

/// Whether the newest run of each verb went well. A run that the brake holds did all the rest, and has a condition of its own.
fn last_run(verbs: &[VerbStatus]) -> Verdict {
    let failed: Vec<String> = verbs
        .iter()
        .filter(|verb| is_failure(verb.last_outcome))
        .map(|verb| {
            let some = if verb.last_outcome == Some(Outcome::PartlyFailed) { " for some servers" } else { "" };
            format!("{} failed{some}: {}", verb.verb.command(), verb.message.as_deref().unwrap_or("nothing says why"))
        })
        .collect();
    if !failed.is_empty() {
        return Verdict::new(State::False, reason::FAILED, failed.join(". "));
    }
    if verbs.iter().all(|verb| verb.last_outcome.is_none()) {
        return Verdict::new(State::Unknown, reason::NO_RUN_YET, "no run has ended yet");
    }
    Verdict::new(State::True, reason::SUCCEEDED, "the last runs ended well")
}

/// Whether an outcome is none to be content with.
pub fn is_failure(outcome: Option<Outcome>) -> bool {
    matches!(outcome, Some(Outcome::Failed | Outcome::PartlyFailed))
}

fn held(runs: &[HeldRun], sight: &Sight, before: &[Condition]) -> Verdict {
    let known = condition::find(before, condition::HELD).is_some_and(|held| held.status != State::Unknown.as_str());
    if sight.records.is_none() && !known {
        return Verdict::new(State::Unknown, reason::PENDING, "the database has not told yet");
    }
    let Some(first) = runs.first() else {
        return Verdict::new(State::False, reason::NOTHING_HELD, "no run is held");
    };
    let told: Vec<String> =
        runs.iter().map(|run| format!("run {}: {}", run.id, run.message.as_deref().unwrap_or_default())).collect();
    let how = format!(
        "If that is right, set the annotation {}={} on this SyncSchedule; if not, watchstate-worker held discard",
        watchstate_crds::annotation::APPROVE,
        first.id
    );
    let approvals = sight.jobs.iter().filter(|job| job.part == Part::Approve);
    let failed = approvals.max_by_key(|job| job.started).and_then(|job| match &job.result {
        ended::Result::Failed(why) => {
            Some(format!(". The approval failed: {why}; delete the Job {} to try it again", job.name))
        }
        _ => None,
    });
    let told = format!("Unplayed too many at once: {}. {how}{}", told.join(". "), failed.unwrap_or_default());
    Verdict::new(State::True, reason::BRAKE_APPLIED, told)
}

/// The newest first.
fn held_runs(held: &[Held]) -> Vec<HeldRun> {
    let mut held: Vec<&Held> = held.iter().collect();
    held.sort_by_key(|held| std::cmp::Reverse(held.run));
    held.into_iter()
        .take(HELD_RUNS)
        .map(|held| HeldRun {
            id: held.run.to_string(),
            verb: held.verb,
            titles: held.titles,
            since: Some(Time(held.since)),
            message: Some(shorten(&held.message, LONGEST / 4)),
        })
        .collect()
}

#[cfg(test)]
mod tests;
