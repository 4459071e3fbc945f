//! Draining the outbox of a server: check what is there now, in batches; write what still differs; record both.
//!
//! Whoever does this holds the server's write lane, so nothing is done twice. What is going to be written is noted before it is sent: a process
//! that is killed in between finds its own write as an echo, not as a play. While one batch is being written, the one before is recorded and the next prepared.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;
use watchstate_domain::item::Item;
use watchstate_domain::matching::TitleId;
use watchstate_domain::write::Wanted;
use watchstate_merge::queue;
use watchstate_runtime::Exit;
use watchstate_runtime::metrics::{ServerName, WriteOutcome, Written};
use watchstate_servers::AccountView;
use watchstate_store::candidates::{self, Candidate};
use watchstate_store::observations::{self, Observed};
use watchstate_store::outbox::{self, Due, End, Entry, Failed, Ticket, Wrote};
use watchstate_store::registry::{Account, Server};
use watchstate_store::{Connection, transaction};

use crate::app::App;
use crate::contact::{Contact, Trouble};
use crate::progress::Bar;

mod prepare;
mod send;

/// Entries of the outbox that are read together.
const READ: i64 = 4_000;
/// Writes that are prepared and recorded together. A few looks at the server; many more, and what was seen would be old when it is written to.
const BATCH: usize = 200;

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
    let mut outcome = Outcome { troubles: contact.missing.clone(), ..Outcome::default() };
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
    let mut lane = Lane {
        app,
        server: &contact.server,
        account,
        view: view.as_ref(),
        run_id,
        bar: app.progress.bar(&format!("{} writes", contact.server.name), pending),
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
    bar: Bar,
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

/// What came of a batch, to be recorded.
#[derive(Default)]
struct Record {
    observed: Vec<Observed>,
    wrote: Vec<Wrote>,
    /// Of which version of the truth the items were told that were written.
    versions: BTreeMap<i64, i64>,
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
            let (trouble, (saved, next)) = tokio::join!(self.write(tasks, &mut record), async {
                let saved = self.save(written.take(), connection).await;
                if saved.is_err() || batch.is_empty() || self.app.stop.is_cancelled() {
                    return (saved, Ok(None));
                }
                (saved, self.prepare(batch, &titles, connection).await.map(Some))
            });
            if let Some(failure) = record.failure.take() {
                self.failure = Some(failure);
            }
            let unsaved = self.count(saved);
            let (next, unprepared) = match next {
                Ok(next) => (next, None),
                Err(trouble) => (None, Some(trouble)),
            };
            let mut trouble = trouble.or(unsaved).or(unprepared);
            if trouble.is_none() && !self.app.stop.is_cancelled() {
                written = begun.then_some(record);
                ready = next;
                due.extend(ready.iter_mut().flat_map(|prepared| std::mem::take(&mut prepared.later)));
                continue;
            }
            // Nothing more is sent. What was sent is recorded; the rest stays as it is in the outbox.
            let unsent = next.map(|Prepared { tasks, mut record, .. }| {
                record.unsent.extend(tasks.iter().map(|task| task.candidate.item_id));
                record
            });
            for record in [begun.then_some(record), unsent] {
                let saved = self.save(record, connection).await;
                let unsaved = self.count(saved);
                trouble = trouble.or(unsaved);
            }
            return trouble.map_or(Ok(()), Err);
        }
    }

    /// What was told of an item while it was being written was compared with what the server held before. Where the truth is another by now, it is
    /// compared with what was written.
    async fn queue_again(&self, versions: &BTreeMap<i64, i64>, connection: &mut Connection) -> Result<(), Trouble> {
        let now = self.app.clock.now();
        let items = candidates::overtaken(connection, self.account.id, versions).await?;
        if items.is_empty() {
            return Ok(());
        }
        let candidates = candidates::load(connection, self.account.id, &items).await?;
        let again = |candidate: &Candidate| {
            let wanted = queue::wanted(self.server, self.app.policy.progress, candidate, now)?;
            let due_at = matches!(wanted, Wanted::Position { .. }).then(|| queue::next_position(now));
            // Whoever changed it did so a moment ago: positions keep their distance, as those of events do.
            Some(Entry { item_id: candidate.item_id, wanted, version: candidate.version, due_at, told_at: Some(now) })
        };
        let entries: Vec<Entry> = candidates.iter().filter_map(again).collect();
        if !entries.is_empty() {
            outbox::enqueue(connection, self.account.id, &entries, Some(self.run_id), now).await?;
        }
        Ok(())
    }

    /// Adds what was recorded; what went wrong with it.
    fn count(&mut self, saved: Result<Counts, Trouble>) -> Option<Trouble> {
        saved.map(|counts| self.counts.add(&counts)).err()
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
        self.queue_again(&record.versions, connection).await?;
        tracing::debug!(
            server = self.server.name,
            person = self.account.person,
            written = record.wrote.len(),
            ended = record.ended.len(),
            waiting = record.waiting.len(),
            failed = record.failed.len(),
            "writes are recorded"
        );
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
            self.bar.add(number);
            let written = Written { server: ServerName::configured(&self.server.name), outcome };
            self.app.metrics.writes_total.add(&written, number);
        }
        Ok(counts)
    }
}
