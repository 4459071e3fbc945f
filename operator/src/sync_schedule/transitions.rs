//! What a new status tells that the old one didn't: the events of a schedule. Pure.

use watchstate_crds::SyncScheduleStatus;
use watchstate_crds::condition::{self, State, reason};
use watchstate_crds::sync_schedule::VerbStatus;

use super::status::is_failure;
use crate::events::Reason;

/// The events, in the order in which they are told; one a reason, since the API server counts those that differ only by their note as one.
pub fn between(before: &SyncScheduleStatus, after: &SyncScheduleStatus) -> Vec<(Reason, String)> {
    let mut told = Vec::new();
    told.extend(readiness(before, after));
    for verb in &after.verbs {
        let known = before.verbs.iter().find(|known| known.verb == verb.verb);
        told.extend(run(known, verb));
    }
    let fresh = after.held_runs.iter().filter(|run| !before.held_runs.iter().any(|known| known.id == run.id));
    told.extend(fresh.map(|run| {
        let what = run.message.as_deref().unwrap_or_default();
        (
            Reason::RunHeld,
            format!(
                "Run {}: {what}. Let it through with the annotation {}={}",
                run.id,
                watchstate_crds::annotation::APPROVE,
                run.id
            ),
        )
    }));
    let mut events: Vec<(Reason, String)> = Vec::new();
    for (reason, note) in told {
        match events.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, known)) => *known = format!("{known}. {note}"),
            None => events.push((reason, note)),
        }
    }
    events
}

/// A schedule that has become ready or not, or isn't for another reason than before.
fn readiness(before: &SyncScheduleStatus, after: &SyncScheduleStatus) -> Option<(Reason, String)> {
    let now = condition::find(&after.conditions, condition::READY)?;
    let known = condition::find(&before.conditions, condition::READY);
    if known.is_some_and(|known| (&known.status, &known.reason) == (&now.status, &now.reason)) {
        return None;
    }
    if now.status == State::True.as_str() {
        return Some((Reason::ScheduleReady, now.message.clone()));
    }
    // What is on its way is no news.
    (now.reason != reason::PROGRESSING).then(|| (Reason::ScheduleNotReady, format!("{}: {}", now.reason, now.message)))
}

fn run(before: Option<&VerbStatus>, after: &VerbStatus) -> Option<(Reason, String)> {
    let failed_before = is_failure(before.and_then(|before| before.last_outcome));
    let verb = after.verb.command();
    match (failed_before, is_failure(after.last_outcome)) {
        (false, true) => {
            let why = after.message.as_deref().unwrap_or("nothing says why");
            Some((Reason::RunFailed, format!("{verb}: {why}")))
        }
        (true, false) => Some((Reason::RunRecovered, format!("{verb} went well again"))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use watchstate_crds::sync_schedule::{HeldRun, Outcome, Verb};

    use super::*;

    fn status(ready: (State, &str), outcome: Option<Outcome>, held: &[&str]) -> SyncScheduleStatus {
        let mut status = SyncScheduleStatus::default();
        condition::set(&mut status.conditions, condition::READY, ready.0, ready.1, "told", None, Timestamp::UNIX_EPOCH);
        let mut verb = super::super::outcome::of_verb(Verb::Import, None, None, &[], None);
        verb.last_outcome = outcome;
        status.verbs = vec![verb];
        let held = held.iter().map(|id| HeldRun {
            id: (*id).to_owned(),
            verb: Verb::Import,
            titles: 1,
            since: None,
            message: None,
        });
        status.held_runs = held.collect();
        status
    }

    #[test]
    fn events_are_told_on_transitions_and_not_again() {
        let ready = (State::True, reason::READY);
        let down = (State::False, reason::DATABASE_UNAVAILABLE);
        let fine = || status(ready, Some(Outcome::Succeeded), &[]);
        for (before, after, expected) in [
            (SyncScheduleStatus::default(), status(ready, None, &[]), vec![Reason::ScheduleReady]),
            (SyncScheduleStatus::default(), status((State::False, reason::PROGRESSING), None, &[]), vec![]),
            (fine(), fine(), vec![]),
            (fine(), status(down, Some(Outcome::Succeeded), &[]), vec![Reason::ScheduleNotReady]),
            (status(down, None, &[]), status(down, None, &[]), vec![]),
            (
                status(down, None, &[]),
                status((State::False, reason::NO_SERVERS), None, &[]),
                vec![Reason::ScheduleNotReady],
            ),
            (fine(), status(ready, Some(Outcome::Failed), &[]), vec![Reason::RunFailed]),
            (status(ready, Some(Outcome::Failed), &[]), status(ready, Some(Outcome::PartlyFailed), &[]), vec![]),
            (status(ready, Some(Outcome::PartlyFailed), &[]), fine(), vec![Reason::RunRecovered]),
            (fine(), status(ready, Some(Outcome::Held), &["4"]), vec![Reason::RunHeld]),
            (status(ready, None, &["4"]), status(ready, None, &["5", "4"]), vec![Reason::RunHeld]),
            (fine(), status(ready, Some(Outcome::Held), &["5", "4"]), vec![Reason::RunHeld]),
            (status(ready, None, &["4"]), status(ready, None, &[]), vec![]),
        ] {
            let found: Vec<Reason> = between(&before, &after).into_iter().map(|(reason, _)| reason).collect();
            assert_eq!(found, expected, "{before:?} {after:?}");
        }
    }
}
