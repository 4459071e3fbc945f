//! The writes themselves, and what becomes of those that fail.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use watchstate_domain::item::ItemState;
use watchstate_domain::merge::{Observation, Rule};
use watchstate_domain::write::Wanted;
use watchstate_runtime::Exit;
use watchstate_runtime::metrics::{self, ServerName};
use watchstate_servers::{ErrorKind, ServerError, Write};
use watchstate_store::observations::Observed;
use watchstate_store::outbox::{Due, End, Failed, Wrote};

use super::{Lane, Record, Task};
use crate::contact::Trouble;

/// A write that fails so often is given up until somebody says otherwise.
const ATTEMPTS: i32 = 10;
/// After so many writes in a row that failed, each perhaps after a long wait, the server is left alone until the next run.
const FAILURES_IN_A_ROW: u32 = 10;
/// The first wait after a failed try; it doubles with each.
const FIRST_WAIT: SignedDuration = SignedDuration::from_mins(1);
/// The longest wait.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(6);
/// How long answers to writes under way are waited for once the process shall end.
const LAST_WORD: Duration = Duration::from_secs(5);

/// What became of a write.
enum Sent {
    /// It was left, since the server or the process is about to go.
    Not,
    /// The process ends before an answer came.
    InDoubt,
    /// It was answered.
    Answered(Result<ItemState, ServerError>),
}

impl Lane<'_> {
    /// Sends the writes, oldest play first, as many at a time as the server may be asked. Returns what keeps the rest from being sent: they, and
    /// those that are left when the process shall end, stay as they are in the outbox.
    pub(super) async fn write(&self, tasks: Vec<Task>, record: &mut Record) -> Option<Trouble> {
        let view = self.view;
        let offset = self.server.clock_offset;
        let at_once = self.server.policy.concurrency.max(1) as usize;
        let halted = &AtomicBool::new(false);
        let stop = &self.app.stop;
        let mut writes = stream::iter(tasks)
            .map(|task| async move {
                if halted.load(Ordering::Relaxed) || stop.is_cancelled() {
                    return (task, Sent::Not);
                }
                let write = match task.wanted {
                    Wanted::Played { at } => Write::Played { at: at.map(|at| offset.to_theirs(at)) },
                    Wanted::Unplayed => Write::Unplayed,
                    Wanted::Position { position_ms, at } => Write::Position { position_ms, at: offset.to_theirs(at) },
                    Wanted::NoPosition => Write::ClearPosition,
                };
                let in_doubt = async {
                    stop.cancelled().await;
                    tokio::time::sleep(LAST_WORD).await;
                };
                tokio::select! {
                    written = view.write(&task.item, &write) => (task, Sent::Answered(written)),
                    () = in_doubt => (task, Sent::InDoubt),
                }
            })
            .buffered(at_once);
        let (mut trouble, mut in_a_row) = (None, 0);
        while let Some((task, sent)) = writes.next().await {
            match sent {
                Sent::Not => record.unsent.push(task.candidate.item_id),
                // It stays expected, and waits: the next run reads the item first.
                Sent::InDoubt => {}
                Sent::Answered(Ok(state)) => {
                    in_a_row = 0;
                    self.measure(&task.due);
                    record.observed.push(Observed {
                        item_id: task.candidate.item_id,
                        observation: self.after(&task, state),
                        rule: Rule::Echo,
                        told_at: None,
                    });
                    record.wrote.push(Wrote { ticket: task.due.ticket.clone(), wanted: task.wanted });
                    record.versions.insert(task.candidate.item_id, task.candidate.version);
                }
                Sent::Answered(Err(error)) => {
                    if let Some((failure, whole_server)) = self.fail(&task, error, record) {
                        in_a_row += 1;
                        if whole_server || in_a_row >= FAILURES_IN_A_ROW {
                            halted.store(true, Ordering::Relaxed);
                            trouble = trouble.or(Some(failure));
                        } else {
                            record.failure = Some(failure.message);
                        }
                    }
                }
            }
        }
        trouble
    }

    /// From the moment when a change was received to its write.
    fn measure(&self, due: &Due) {
        let took = due.told_at.and_then(|told_at| self.app.clock.now().duration_since(told_at).try_into().ok());
        if let Some(took) = took {
            let server = metrics::Server { server: ServerName::configured(&self.server.name) };
            self.app.metrics.delivery_duration_seconds.observe(&server, took);
        }
    }

    /// What is known to be true at the server after a write.
    fn after(&self, task: &Task, state: ItemState) -> Observation {
        Observation {
            state,
            finished_plays: if state.position_ms == 0 {
                state.plays
            } else {
                task.candidate.observation.finished_plays
            },
            added_at: task.item.added_at,
            true_at: self.app.clock.now(),
            expected: None,
            finish_told: None,
        }
    }

    /// Notes a failed write. Returns the trouble, and whether it concerns the whole server and not this item alone; None where there is none.
    fn fail(&self, task: &Task, error: ServerError, record: &mut Record) -> Option<(Trouble, bool)> {
        let kind = error.kind();
        let trouble = Trouble::from(error);
        if surely_undone(kind) {
            record.unsent.push(task.candidate.item_id);
        }
        if kind == ErrorKind::NotFound {
            record.ended.push((task.due.ticket.clone(), End::Dropped, Some("the server no longer has it".to_owned())));
            return None;
        }
        let whole_server = trouble.exit == Exit::Configuration
            || matches!(kind, ErrorKind::Unreachable | ErrorKind::TimedOut | ErrorKind::RateLimited);
        let tries = task.due.attempts + 1;
        let give_up = !whole_server && tries >= ATTEMPTS;
        record.failed.push(Failed {
            ticket: task.due.ticket.clone(),
            next_try_at: (!give_up).then(|| next_try(self.app.clock.now(), tries)),
            counts: !whole_server,
            error: trouble.message.clone(),
        });
        Some((trouble, whole_server))
    }
}

/// True where the server refused a write before it did anything. Else it may have happened, though nobody said so, and may come back as an echo.
const fn surely_undone(kind: ErrorKind) -> bool {
    match kind {
        ErrorKind::Unauthorized
        | ErrorKind::Forbidden
        | ErrorKind::NotFound
        | ErrorKind::RateLimited
        | ErrorKind::WrongServer
        | ErrorKind::Unsupported
        | ErrorKind::Configuration => true,
        ErrorKind::Unreachable
        | ErrorKind::TimedOut
        | ErrorKind::ServerFailure
        | ErrorKind::BadAnswer
        | ErrorKind::Uncertain => false,
    }
}

/// When to try again: each wait is twice the last.
fn next_try(now: Timestamp, tries: i32) -> Timestamp {
    let doublings = u32::try_from(tries - 1).unwrap_or_default().min(16);
    let wait = FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT);
    now.saturating_add(wait).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_is_twice_the_last_up_to_six_hours() {
        let now = Timestamp::UNIX_EPOCH;
        let minutes = |tries| next_try(now, tries).duration_since(now).as_mins();
        assert_eq!([1, 2, 3, 9, 10, 100].map(minutes), [1, 2, 4, 256, 360, 360]);
    }
}
