//! Draining the outbox of a server: check what is there now, in batches; write what still differs; record both.
//!
//! Whoever does this holds the server's write lane, so nothing is done twice. What is going to be written is noted before it is sent: a process
//! that is killed in between finds its own write as an echo, not as a play. While one batch is being written the next is prepared.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use roaring::RoaringTreemap;
use serde::Serialize;
use watchstate_domain::item::{Item, ItemState, ServerKind};
use watchstate_domain::matching::TitleId;
use watchstate_domain::merge::{self, Context, Expected, Observation, OwnMark, Rule, three_way};
use watchstate_domain::write::Wanted;
use watchstate_merge::queue;
use watchstate_runtime::Exit;
use watchstate_runtime::metrics::{self, ServerName, WriteOutcome, Written};
use watchstate_servers::{AccountView, ErrorKind, ServerError, Write};
use watchstate_store::observations::{self, Observed};
use watchstate_store::outbox::{self, Candidate, Due, End, Failed, Ticket, Wrote};
use watchstate_store::own_marks;
use watchstate_store::registry::{Account, Server};
use watchstate_store::{Connection, items, transaction};

use crate::app::App;
use crate::contact::{Contact, Trouble, unless_stopped};
use crate::import::absorb::{Reader, States};

/// Entries of the outbox that are read together.
const READ: i64 = 4_000;
/// Writes that are prepared and recorded together. A few looks at the server; many more, and what was seen would be old when it is written to.
const BATCH: usize = 200;
/// Items that are checked with one request.
const CHECKED: usize = 100;
/// So many such requests at a time; the server's own limits hold as well.
const LOOKS: usize = 2;
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
/// When to look again at a title that is being played.
const PLAYING_WAIT: SignedDuration = SignedDuration::from_mins(5);

/// What a push did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Writes that were queued by this run.
    pub queued: u64,
    /// Writes that the server took.
    pub written: u64,
    /// Items that were right already.
    pub already_right: u64,
    /// Writes that are no longer wanted, or can't be.
    pub dropped: u64,
    /// Writes that wait because the title is being played.
    pub waiting: u64,
    /// Tries that failed.
    pub failed: u64,
    /// Writes that were given up.
    pub dead: u64,
}

impl Counts {
    /// Adds another's counts.
    pub const fn add(&mut self, other: &Self) {
        let Self { queued, written, already_right, dropped, waiting, failed, dead } = other;
        self.queued += *queued;
        self.written += *written;
        self.already_right += *already_right;
        self.dropped += *dropped;
        self.waiting += *waiting;
        self.failed += *failed;
        self.dead += *dead;
    }
}

/// How the draining of a server's outbox ended.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was done.
    pub counts: Counts,
    /// What went wrong.
    pub troubles: Vec<Trouble>,
    /// What went wrong with the last write that failed by itself.
    pub failure: Option<String>,
    /// It was told to end before it was through.
    pub interrupted: bool,
}

impl Outcome {
    /// What went wrong, one sentence each.
    pub fn errors(&self) -> Vec<String> {
        let mut errors: Vec<String> = self.troubles.iter().map(|trouble| trouble.message.clone()).collect();
        let failed = self.counts.failed + self.counts.dead;
        errors.extend(
            self.failure.iter().map(|last| format!("{failed} writes failed, see `outbox list`; the last: {last}")),
        );
        if self.interrupted {
            errors.push("told to end before it was through; what wasn't written waits in the outbox".to_owned());
        }
        errors
    }

    /// The exit code of this server.
    pub fn exit(&self) -> Exit {
        let again = self.interrupted || self.counts.failed > 0 || self.counts.dead > 0;
        let own = if again { Exit::TryAgain } else { Exit::Done };
        self.troubles.iter().map(|trouble| trouble.exit).fold(own, Exit::combine)
    }
}

/// Drains the outbox of every account of a server.
pub async fn server(app: &App, contact: &Contact, run_id: i64, force: bool, connection: &mut Connection) -> Outcome {
    let mut outcome =
        Outcome { troubles: contact.missing.iter().map(Trouble::configuration).collect(), ..Outcome::default() };
    for (account, remote) in &contact.accounts {
        if let Err(trouble) = drain(app, contact, account, remote, run_id, force, &mut outcome, connection).await {
            outcome.troubles.push(trouble);
        }
    }
    outcome
}

#[expect(clippy::too_many_arguments, reason = "one account's share of `server`")]
async fn drain(
    app: &App,
    contact: &Contact,
    account: &Account,
    remote: &watchstate_servers::Account,
    run_id: i64,
    force: bool,
    outcome: &mut Outcome,
    connection: &mut Connection,
) -> Result<(), Trouble> {
    if force {
        outbox::retry(connection, Some(account.id), None, true, app.clock.now()).await?;
    }
    let (pending, _) = outbox::depth(connection, account.id).await?;
    if pending == 0 {
        return Ok(());
    }
    let view = contact.view(app, account, remote).await?;
    let bar = app.progress.bar(&format!("{} writes", contact.server.name), pending);
    let mut lane = Lane {
        app,
        server: &contact.server,
        account,
        view: view.as_ref(),
        run_id,
        counts: Counts::default(),
        failure: None,
    };
    let mut result = Ok(());
    loop {
        if app.stop.is_cancelled() {
            outcome.interrupted = true;
            break;
        }
        let due = outbox::due(connection, account.id, app.clock.now(), READ).await?;
        if due.is_empty() {
            break;
        }
        bar.add(due.len() as u64);
        result = lane.work(due, connection).await;
        if result.is_err() {
            break;
        }
    }
    outcome.counts.add(&lane.counts);
    if lane.failure.is_some() {
        outcome.failure = lane.failure;
    }
    result
}

/// The writes of one account at one server.
struct Lane<'a> {
    app: &'a App,
    server: &'a Server,
    account: &'a Account,
    view: &'a dyn AccountView,
    run_id: i64,
    counts: Counts,
    failure: Option<String>,
}

/// An entry that still wants a write.
struct Task {
    due: Due,
    candidate: Candidate,
    wanted: Wanted,
    item: Item,
}

/// What became of a write.
enum Sent {
    /// It was left, since the server or the process is about to go.
    Not,
    /// The process ends before an answer came.
    InDoubt,
    /// It was answered.
    Answered(Result<ItemState, ServerError>),
}

/// What came of a batch, to be recorded.
#[derive(Default)]
struct Record {
    observed: Vec<Observed>,
    wrote: Vec<Wrote>,
    ended: Vec<(Ticket, End, Option<String>)>,
    waiting: Vec<Failed>,
    failed: Vec<Failed>,
    unsent: Vec<i64>,
    /// What went wrong with the last write that failed by itself.
    failure: Option<String>,
}

/// A batch that may be written.
#[derive(Default)]
struct Prepared {
    tasks: Vec<Task>,
    /// What the tasks' items hold.
    titles: HashSet<TitleId>,
    /// Other copies of titles that are being written: they may share their state at the server, so they are looked at again afterwards.
    later: Vec<Due>,
    record: Record,
}

impl Lane<'_> {
    /// Works at entries, a batch at a time: while one is being written, the one before is recorded and the next is prepared.
    async fn work(&mut self, mut due: Vec<Due>, connection: &mut Connection) -> Result<(), Trouble> {
        let mut written: Option<Record> = None;
        let mut ready: Option<Prepared> = None;
        loop {
            let batch: Vec<Due> = due.drain(..due.len().min(BATCH)).collect();
            let now = ready.take();
            if batch.is_empty() && now.is_none() && written.is_none() {
                return Ok(());
            }
            let begun = now.is_some();
            let Prepared { tasks, titles, mut record, .. } = now.unwrap_or_default();
            let (trouble, next) = tokio::join!(self.write(tasks, &mut record), async {
                let counts = self.save(written.take(), connection).await?;
                if batch.is_empty() || self.app.stop.is_cancelled() {
                    return Ok((counts, None));
                }
                let prepared = self.prepare(batch, &titles, connection).await?;
                Ok::<_, Trouble>((counts, Some(prepared)))
            });
            if let Some(failure) = record.failure.take() {
                self.failure = Some(failure);
            }
            let (next, trouble) = match next {
                Ok((counts, next)) => {
                    self.counts.add(&counts);
                    (next, trouble)
                }
                Err(unprepared) => (None, trouble.or(Some(unprepared))),
            };
            if trouble.is_none() && !self.app.stop.is_cancelled() {
                written = begun.then_some(record);
                ready = next;
                due.extend(ready.iter_mut().flat_map(|prepared| std::mem::take(&mut prepared.later)));
                continue;
            }
            // Nothing more is sent. What was sent is recorded; the rest stays as it is in the outbox.
            self.counts.add(&self.save(Some(record), connection).await?);
            if let Some(Prepared { tasks, mut record, .. }) = next {
                record.unsent.extend(tasks.iter().map(|task| task.candidate.item_id));
                self.counts.add(&self.save(Some(record), connection).await?);
            }
            return trouble.map_or(Ok(()), Err);
        }
    }

    /// Finds out what is still to be written, and notes it. `busy`: titles that are being written meanwhile.
    async fn prepare(
        &self,
        due: Vec<Due>,
        busy: &HashSet<TitleId>,
        connection: &mut Connection,
    ) -> Result<Prepared, Trouble> {
        let mut record = Record::default();
        let tasks = self.check(due, &mut record, connection).await?;
        let (tasks, titles, later) = self.one_a_title(tasks, busy, connection).await?;
        let tasks = self.not_too_often(tasks, &mut record, connection).await?;
        let tasks = self.not_playing(tasks, &mut record, connection).await?;
        let expected: Vec<(i64, Expected)> = tasks.iter().map(|task| self.expected(task)).collect();
        observations::expect(connection, self.account.id, &expected).await?;
        if let Some(owner) = own_marks::owner(self.server, self.account) {
            own_marks::note(connection, owner, &self.own_marks(&tasks)).await?;
        }
        Ok(Prepared { tasks, titles, later, record })
    }

    /// Looks at the items as they are now. What changed meanwhile is merged first, as an import would; what agrees is done.
    async fn check(
        &self,
        due: Vec<Due>,
        record: &mut Record,
        connection: &mut Connection,
    ) -> Result<Vec<Task>, Trouble> {
        let mut wanted = self.wanted(due, record, connection).await?;
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<String> = wanted.iter().map(|(_, candidate, _)| candidate.remote_id.clone()).collect();
        let context = self.context();
        let looks: Vec<_> = ids.chunks(CHECKED).map(|ids| self.view.items_by_id(ids)).collect();
        let looks = stream::iter(looks).buffered(LOOKS).try_concat();
        let mut there: HashMap<String, Item> =
            unless_stopped(self.app, looks).await?.into_iter().map(|item| (item.remote_id.clone(), item)).collect();
        let mut changed = Vec::new();
        wanted.retain(|(due, candidate, _)| {
            let Some(item) = there.get(&candidate.remote_id) else {
                record.ended.push((due.ticket.clone(), End::Dropped, Some("the server no longer has it".to_owned())));
                return false;
            };
            let reading = merge::Reading { state: item.state, added_at: item.added_at };
            let merged = three_way(&reading, Some(&candidate.observation), &context);
            if merged.rule == Rule::Unchanged {
                return true;
            }
            // Taking marks away is for an import to decide, which sees how many there are.
            if merged.unplays() && self.states() == States::Merge {
                record.ended.push((
                    due.ticket.clone(),
                    End::Dropped,
                    Some("it was un-played there meanwhile: the next import decides".to_owned()),
                ));
                return false;
            }
            changed.push(item.clone());
            true
        });
        if !changed.is_empty() {
            let mut reader = Reader::new(self.app, self.server, self.account, 0, self.states(), context.now);
            reader.page(None, &changed, &mut RoaringTreemap::new(), connection).await?;
            let due = wanted.into_iter().map(|(due, _, _)| due).collect();
            wanted = self.wanted(due, record, connection).await?;
        }
        Ok(wanted
            .into_iter()
            .filter_map(|(due, candidate, wanted)| {
                let item = there.remove(&candidate.remote_id)?;
                Some(Task { due, candidate, wanted, item })
            })
            .collect())
    }

    /// What the entries want now, which may be nothing any more.
    async fn wanted(
        &self,
        due: Vec<Due>,
        record: &mut Record,
        connection: &mut Connection,
    ) -> Result<Vec<(Due, Candidate, Wanted)>, Trouble> {
        let ids: Vec<i64> = due.iter().map(|due| due.item_id).collect();
        let mut candidates: HashMap<i64, Candidate> = outbox::load(connection, self.account.id, &ids)
            .await?
            .into_iter()
            .map(|candidate| (candidate.item_id, candidate))
            .collect();
        let mut wanted = Vec::with_capacity(due.len());
        for due in due {
            let Some(candidate) = candidates.remove(&due.item_id) else {
                record.ended.push((
                    due.ticket.clone(),
                    End::Dropped,
                    Some("nothing is known of it any more".to_owned()),
                ));
                continue;
            };
            match queue::wanted(self.server, self.app.policy.progress, &candidate) {
                Some(want) => wanted.push((due, candidate, want)),
                None => record.ended.push((due.ticket.clone(), End::AlreadyRight, None)),
            }
        }
        Ok(wanted)
    }

    /// Those that may be written at the same time, what they hold, and those that wait for them.
    async fn one_a_title(
        &self,
        tasks: Vec<Task>,
        busy: &HashSet<TitleId>,
        connection: &mut Connection,
    ) -> Result<(Vec<Task>, HashSet<TitleId>, Vec<Due>), Trouble> {
        let ids: Vec<i64> = tasks.iter().map(|task| task.candidate.item_id).collect();
        let mut titles: HashMap<i64, Vec<_>> = HashMap::new();
        for (item_id, title) in items::titles_of(connection, &ids).await? {
            titles.entry(item_id).or_default().push(title);
        }
        let of = |task: &Task| titles.get(&task.candidate.item_id).map_or(&[][..], Vec::as_slice);
        let mut taken = HashSet::new();
        let (first, later): (Vec<Task>, Vec<Task>) = tasks.into_iter().partition(|task| {
            let free = of(task).iter().all(|title| !taken.contains(title) && !busy.contains(title));
            taken.extend(of(task).iter().copied());
            free
        });
        let written = first.iter().flat_map(of).copied().collect();
        Ok((first, written, later.into_iter().map(|task| task.due).collect()))
    }

    /// Lets positions of events wait that follow another one too soon: whoever queued them may not have known yet of the one before. What a job has queued
    /// waits for nothing: the next job may be hours away.
    async fn not_too_often(
        &self,
        tasks: Vec<Task>,
        record: &mut Record,
        connection: &mut Connection,
    ) -> Result<Vec<Task>, Trouble> {
        let is_position = |task: &&Task| matches!(task.wanted, Wanted::Position { .. }) && task.due.told_at.is_some();
        let items: Vec<i64> = tasks.iter().filter(is_position).map(|task| task.candidate.item_id).collect();
        if items.is_empty() {
            return Ok(tasks);
        }
        let last = outbox::last_positions(connection, self.account.id, &items).await?;
        let now = self.app.clock.now();
        let (later, free): (Vec<Task>, Vec<Task>) = tasks.into_iter().partition(|task| {
            is_position(&task)
                && last.get(&task.candidate.item_id).is_some_and(|last| queue::next_position(*last) > now)
        });
        record.waiting.extend(later.into_iter().map(|task| Failed {
            ticket: task.due.ticket.clone(),
            next_try_at: last.get(&task.candidate.item_id).copied().map(queue::next_position),
            counts: false,
            error: "another position was written a moment ago".to_owned(),
        }));
        Ok(free)
    }

    /// Leaves alone what the account is playing, and its copies: they may share their state. Servers are asked only where something hints at a viewing.
    async fn not_playing(
        &self,
        tasks: Vec<Task>,
        record: &mut Record,
        connection: &mut Connection,
    ) -> Result<Vec<Task>, Trouble> {
        let hint = |task: &Task| {
            let state = task.item.state;
            matches!(task.wanted, Wanted::Position { .. } | Wanted::NoPosition)
                || state.plays > 0
                || state.position_ms > 0
        };
        if !tasks.iter().any(hint) {
            return Ok(tasks);
        }
        let playing = self.view.playing().await?;
        if playing.is_empty() {
            return Ok(tasks);
        }
        let titles: HashSet<TitleId> =
            items::titles_at(connection, self.server.id, &playing).await?.into_iter().collect();
        let ids: Vec<i64> = tasks.iter().map(|task| task.candidate.item_id).collect();
        let busy: HashSet<i64> = items::titles_of(connection, &ids)
            .await?
            .into_iter()
            .filter(|(_, title)| titles.contains(title))
            .map(|(item_id, _)| item_id)
            .collect();
        let next_try_at = self.app.clock.now().saturating_add(PLAYING_WAIT).ok();
        let (busy, free): (Vec<Task>, Vec<Task>) = tasks
            .into_iter()
            .partition(|task| playing.contains(&task.item.remote_id) || busy.contains(&task.candidate.item_id));
        record.waiting.extend(busy.into_iter().map(|task| Failed {
            ticket: task.due.ticket.clone(),
            next_try_at,
            counts: false,
            error: "it is being played right now".to_owned(),
        }));
        Ok(free)
    }

    /// What will show in the next reading: the mark that the item has after the write, and the date that goes with it.
    fn expected(&self, task: &Task) -> (i64, Expected) {
        let at = self.app.clock.now();
        let theirs = |at| self.server.clock_offset.to_theirs(at);
        let (played, stamp) = match task.wanted {
            Wanted::Played { at: played_at } => (true, played_at.map(theirs)),
            Wanted::Unplayed => (false, None),
            Wanted::Position { at: stopped_at, .. } => (false, Some(theirs(stopped_at))),
            Wanted::NoPosition => (true, None),
        };
        (task.candidate.item_id, Expected { played, at, stamp })
    }

    /// The marks among the writes that the server will date itself.
    fn own_marks(&self, tasks: &[Task]) -> Vec<(i64, OwnMark)> {
        let made_at = self.app.clock.now();
        let dates_itself = |at: Option<Timestamp>| self.server.kind == ServerKind::Plex || at.is_none();
        tasks
            .iter()
            .filter_map(|task| match task.wanted {
                Wanted::Played { at } if dates_itself(at) => {
                    Some((task.candidate.item_id, OwnMark { made_at, played_at: at }))
                }
                _ => None,
            })
            .collect()
    }

    /// Sends the writes, oldest play first, as many at a time as the server may be asked. Returns what keeps the rest from being sent: they, and
    /// those that are left when the process shall end, stay as they are in the outbox.
    async fn write(&self, tasks: Vec<Task>, record: &mut Record) -> Option<Trouble> {
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

    /// Records what came of a batch, if there was one; what that counts as.
    async fn save(&self, record: Option<Record>, connection: &mut Connection) -> Result<Counts, Trouble> {
        let mut counts = Counts::default();
        let Some(record) = record else { return Ok(counts) };
        let now = self.app.clock.now();
        let mut transaction = transaction::begin(connection).await?;
        observations::save(&mut transaction, self.account.id, &record.observed, now).await?;
        observations::forget_expected(&mut transaction, self.account.id, &record.unsent).await?;
        let again_at = queue::next_position(now);
        outbox::written(&mut transaction, &record.wrote, Some(self.run_id), now, again_at).await?;
        outbox::finish(&mut transaction, &record.ended, Some(self.run_id), now).await?;
        outbox::fail(&mut transaction, &record.waiting).await?;
        outbox::fail(&mut transaction, &record.failed).await?;
        transaction.commit().await?;
        let ended = |end| record.ended.iter().filter(|(_, how, _)| *how == end).count();
        let dead = record.failed.iter().filter(|failed| failed.next_try_at.is_none()).count();
        for (number, count, outcome) in [
            (record.wrote.len(), &mut counts.written, WriteOutcome::Written),
            (ended(End::AlreadyRight), &mut counts.already_right, WriteOutcome::AlreadyRight),
            (ended(End::Dropped), &mut counts.dropped, WriteOutcome::Skipped),
            (record.waiting.len(), &mut counts.waiting, WriteOutcome::Skipped),
            (dead, &mut counts.dead, WriteOutcome::Dead),
            (record.failed.len() - dead, &mut counts.failed, WriteOutcome::Failed),
        ] {
            let number = u64::try_from(number).unwrap_or(u64::MAX);
            *count += number;
            let written = Written { server: ServerName::configured(&self.server.name), outcome };
            self.app.metrics.writes_total.add(&written, number);
        }
        Ok(counts)
    }

    fn states(&self) -> States {
        States::of(self.server)
    }

    fn context(&self) -> Context {
        Context {
            now: self.app.clock.now(),
            offset: self.server.clock_offset,
            kind: self.server.kind,
            unplayed: self.server.policy.unplayed,
            progress: self.app.policy.progress,
        }
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
