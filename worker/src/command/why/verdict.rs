//! Why a server was written to, or wasn't: a pure decision over what is stored.

use jiff::Timestamp;
use serde::Serialize;
use watchstate_domain::clock::ClockOffset;
use watchstate_domain::item::ItemState;
use watchstate_domain::merge::Observation;
use watchstate_domain::policy::{ImportMode, ProgressPolicy};
use watchstate_domain::write::{Agreed, Wanted, difference};
use watchstate_store::registry::ServerPolicy;
use watchstate_store::report::copies::Write;

use crate::output;

/// Where an item stands for one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It holds what was agreed.
    Agrees,
    /// The next export writes it.
    Next,
    /// Its write waits in the outbox.
    Waits,
    /// Its write failed too often.
    GivenUp,
    /// It should be written, and may not be.
    Barred,
    /// Un-plays of it wait for a person.
    Held,
    /// It differs, and that is as it should be.
    Left,
    /// Nobody has said anything of it.
    Unknown,
    /// The account has never been shown it.
    Unseen,
    /// The account is no longer shown it.
    Gone,
}

/// Where an item stands, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// In a word.
    pub status: Status,
    /// In a sentence.
    pub reason: String,
}

/// All that a verdict rests on.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// What the household wants of the server.
    pub policy: &'a ServerPolicy,
    /// How far its clock is ahead.
    pub offset: ClockOffset,
    /// Whether positions travel.
    pub progress: ProgressPolicy,
    /// The time.
    pub now: Timestamp,
    /// What the account was last seen to have; None: it never was.
    pub there: Option<&'a Observation>,
    /// The account is no longer shown the item.
    pub gone: bool,
    /// What was agreed on all that the file holds.
    pub agreed: Agreed,
    /// Its running time.
    pub runtime_ms: Option<u64>,
    /// How many titles it holds, and how many of them the person has played.
    pub titles: (i64, i64),
    /// The held plan that un-plays it.
    pub held: Option<i64>,
    /// Its write that waits or was given up.
    pub open: Option<&'a Write>,
}

/// Decides where an item stands.
pub fn verdict(case: &Case<'_>) -> Verdict {
    let is = |status, reason: String| Verdict { status, reason };
    let Some(there) = case.there else {
        return is(Status::Unseen, "this account has not been shown it yet".into());
    };
    if case.gone {
        return is(Status::Gone, "it is no longer there for this account; nothing is concluded from that".into());
    }
    if let Some(plan) = case.held {
        return is(
            Status::Held,
            format!("it was un-played there together with many others: plan {plan} waits for you (held show {plan})"),
        );
    }
    let Some(wanted) = difference(there, &case.agreed, case.runtime_ms, case.offset, case.progress, case.now) else {
        return nothing_to_write(case, there);
    };
    let told = told(&wanted);
    if case.policy.suspend {
        return is(Status::Barred, format!("it should be told: {told}; but the server is suspended"));
    }
    if !case.policy.export {
        return is(Status::Barred, format!("it should be told: {told}; but export is off for this server"));
    }
    match case.open {
        Some(write) if write.state == "dead" => is(
            Status::GivenUp,
            format!(
                "it should be told: {told}; that was given up after {} tries (outbox retry {})",
                write.attempts, write.id
            ),
        ),
        Some(write) => is(
            Status::Waits,
            format!(
                "it is told by the next push or export: {told}; write {} waits until {}",
                write.id,
                output::time(Some(write.next_try_at))
            ),
        ),
        None => is(Status::Next, format!("the next export tells it: {told}")),
    }
}

fn nothing_to_write(case: &Case<'_>, there: &Observation) -> Verdict {
    let is = |status, reason: &str| Verdict { status, reason: reason.to_owned() };
    let (titles, played) = case.titles;
    let state = there.state;
    match case.agreed.played {
        Some(true) if !state.played => {
            is(Status::Left, "a viewing has begun there since the last play: a mark would end it, so it is left alone")
        }
        None if titles > 1 && (played > 0 || state.played) => Verdict {
            status: Status::Left,
            reason: format!(
                "the file holds {titles} episodes, of which {played} are played: it is marked when all of them are"
            ),
        },
        None if state.played => {
            is(Status::Left, "it is played there, but that word isn't taken; nobody else has said anything")
        }
        None if case.agreed.position.is_none() => {
            is(Status::Unknown, "nobody has said anything of it yet: nothing to write")
        }
        Some(false) | None if case.agreed.position.is_some() => position(case, there),
        _ => is(Status::Agrees, "it holds what was agreed: nothing to write"),
    }
}

/// Why a position isn't written: what would have to be different for it to be.
fn position(case: &Case<'_>, there: &Observation) -> Verdict {
    let left = |reason: &str| Verdict { status: Status::Left, reason: reason.to_owned() };
    let would = |there: &Observation, runtime_ms, progress| {
        difference(there, &case.agreed, runtime_ms, case.offset, progress, case.now).is_some()
    };
    let any = ProgressPolicy { enabled: true, minimum_ms: 0 };
    let undated = Observation { state: ItemState { last_played_at: None, ..there.state }, ..*there };
    if would(there, case.runtime_ms, any) {
        return left(if case.progress.enabled {
            "the position is too small to be a viewing: it isn't written"
        } else {
            "positions don't travel here: progress is off"
        });
    }
    if would(there, None, case.progress) {
        return left("the position is so near the end that the server would take it for a play: it isn't written");
    }
    if would(&undated, case.runtime_ms, case.progress) {
        return left("the viewer there is ahead of what is known: it is left alone");
    }
    Verdict { status: Status::Agrees, reason: "it holds what was agreed, the position too: nothing to write".into() }
}

/// What a server should be told, in words.
fn told(wanted: &Wanted) -> String {
    match wanted {
        Wanted::Played { at: Some(at) } => format!("played at {}", output::time(Some(*at))),
        Wanted::Played { at: None } => "played".to_owned(),
        Wanted::Unplayed => "not played".to_owned(),
        Wanted::Position { position_ms, .. } => format!("position {}", output::position(*position_ms)),
        Wanted::NoPosition => "no position, since it is played".to_owned(),
    }
}

/// What keeps a server's word from being taken; None where it is.
pub fn unheard(policy: &ServerPolicy) -> Option<&'static str> {
    match (policy.suspend, policy.import, policy.import_mode) {
        (true, _, _) => Some("the server is suspended: it is neither read nor written"),
        (_, false, _) => Some("import is off: what it says is noted, and changes nothing"),
        (_, _, ImportMode::MetadataOnly) => {
            Some("only its items are taken, not its states: what it says changes nothing")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchstate_domain::watch::Position;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn there(played: bool, plays: u32, last: Option<i64>, position_ms: u64) -> Observation {
        Observation {
            state: ItemState { played, plays, last_played_at: last.map(at), position_ms },
            finished_plays: plays,
            added_at: None,
            true_at: at(1_000_000),
            expected: None,
            finish_told: None,
        }
    }

    fn agreed(played: Option<bool>, changed: i64, position: Option<(u64, i64)>) -> Agreed {
        Agreed {
            played,
            changed_at: played.map(|_| at(changed)),
            played_at: played.filter(|played| *played).map(|_| at(changed)),
            position: position.map(|(position_ms, second)| Position { position_ms, at: at(second) }),
        }
    }

    fn write(state: &str) -> Write {
        Write {
            id: 12,
            account_id: 1,
            item_id: 1,
            want: "played".into(),
            state: state.into(),
            attempts: 10,
            next_try_at: at(0),
            error: None,
            enqueued_at: at(0),
            finished_at: None,
        }
    }

    #[test]
    fn each_reason_to_write_or_not_is_told() {
        let policy = ServerPolicy::default();
        let (dead, pending) = (write("dead"), write("pending"));
        let (fresh, played, ahead) =
            (there(false, 0, None, 0), there(true, 1, Some(500), 0), there(false, 0, Some(900), 300_000));
        let begun = there(false, 1, Some(999_000), 0);
        let (seen, unknown) = (agreed(Some(true), 500, None), Agreed::default());
        let base = Case {
            policy: &policy,
            offset: ClockOffset(0),
            progress: ProgressPolicy::default(),
            now: at(1_000_000),
            there: Some(&fresh),
            gone: false,
            agreed: seen,
            runtime_ms: Some(6_000_000),
            titles: (1, 1),
            held: None,
            open: None,
        };
        let off = ServerPolicy { export: false, ..ServerPolicy::default() };
        let suspended = ServerPolicy { suspend: true, ..ServerPolicy::default() };
        let no_progress = ProgressPolicy { enabled: false, minimum_ms: 0 };
        let under_way = |position_ms| agreed(None, 0, Some((position_ms, 800)));
        let cases = [
            (Case { there: None, ..base }, Status::Unseen, "not been shown"),
            (Case { gone: true, ..base }, Status::Gone, "no longer there"),
            (Case { held: Some(4), ..base }, Status::Held, "held show 4"),
            (base, Status::Next, "played at 1970-01-01 00:08:20"),
            (Case { open: Some(&pending), ..base }, Status::Waits, "write 12"),
            (Case { open: Some(&dead), ..base }, Status::GivenUp, "outbox retry 12"),
            (Case { policy: &off, ..base }, Status::Barred, "export is off"),
            (Case { policy: &suspended, open: Some(&dead), ..base }, Status::Barred, "suspended"),
            (Case { there: Some(&played), ..base }, Status::Agrees, "holds what was agreed"),
            (Case { there: Some(&played), open: Some(&pending), ..base }, Status::Agrees, "holds what was agreed"),
            (Case { there: Some(&begun), ..base }, Status::Left, "has begun there since"),
            (Case { agreed: unknown, titles: (1, 0), ..base }, Status::Unknown, "nobody has said"),
            (Case { agreed: unknown, titles: (1, 0), there: Some(&played), ..base }, Status::Left, "isn't taken"),
            (Case { agreed: unknown, titles: (3, 2), ..base }, Status::Left, "3 episodes, of which 2"),
            (Case { agreed: agreed(Some(false), 700, None), there: Some(&played), ..base }, Status::Next, "not played"),
            (Case { agreed: under_way(300_000), ..base }, Status::Next, "position 0:05:00"),
            (Case { agreed: under_way(300_000), there: Some(&ahead), ..base }, Status::Agrees, "the position too"),
            (Case { agreed: under_way(900_000), there: Some(&ahead), ..base }, Status::Left, "ahead of what is known"),
            (Case { agreed: under_way(5_900_000), ..base }, Status::Left, "near the end"),
            (Case { agreed: under_way(30_000), ..base }, Status::Left, "too small"),
            (Case { agreed: under_way(300_000), progress: no_progress, ..base }, Status::Left, "progress is off"),
        ];
        for (number, (case, status, words)) in cases.into_iter().enumerate() {
            let verdict = verdict(&case);
            assert_eq!(verdict.status, status, "case {number}: {verdict:?}");
            assert!(verdict.reason.contains(words), "case {number}: {verdict:?}");
        }
    }

    #[test]
    fn a_server_whose_word_is_not_taken_is_pointed_out() {
        assert_eq!(unheard(&ServerPolicy::default()), None);
        let metadata = ServerPolicy { import_mode: ImportMode::MetadataOnly, ..ServerPolicy::default() };
        assert!(unheard(&metadata).unwrap().contains("not its states"));
        let off = ServerPolicy { import: false, ..ServerPolicy::default() };
        assert!(unheard(&off).unwrap().contains("import is off"));
        let suspended = ServerPolicy { suspend: true, ..ServerPolicy::default() };
        assert!(unheard(&suspended).unwrap().contains("suspended"));
    }
}
