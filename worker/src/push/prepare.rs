//! What is still to be written: the items are looked at as they are now, and what is going to be written is noted.

use std::collections::{HashMap, HashSet};

use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use roaring::RoaringTreemap;
use watchstate_domain::item::{Item, ServerKind};
use watchstate_domain::matching::TitleId;
use watchstate_domain::merge::{self, Context, Expected, OwnMark, Rule, three_way};
use watchstate_domain::write::Wanted;
use watchstate_merge::queue;
use watchstate_store::candidates::{self, Candidate};
use watchstate_store::observations;
use watchstate_store::outbox::{self, Due, End, Failed};
use watchstate_store::own_marks;
use watchstate_store::{Connection, items, transaction};

use super::{Lane, Prepared, Record, Task};
use crate::contact::{Trouble, unless_stopped};
use crate::import::absorb::{Reader, States};

/// Items that are checked with one request.
const CHECKED: usize = 100;
/// So many such requests at a time; the server's own limits hold as well.
const LOOKS: usize = 2;
/// When to look again at a title that is being played.
const PLAYING_WAIT: SignedDuration = SignedDuration::from_mins(5);

impl Lane<'_> {
    /// Finds out what is still to be written, and notes it. `busy`: titles that are being written meanwhile.
    pub(super) async fn prepare(
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
        if tasks.is_empty() {
            return Ok(Prepared { tasks, titles, later, record });
        }
        let expected: Vec<(i64, Expected)> = tasks.iter().map(|task| self.expected(task)).collect();
        let mut transaction = transaction::begin(connection).await?;
        observations::expect(&mut transaction, self.account.id, &expected).await?;
        if let Some(owner) = own_marks::owner(self.server, self.account) {
            own_marks::note(&mut transaction, owner, &self.own_marks(&tasks)).await?;
        }
        transaction.commit().await?;
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
        let mut candidates: HashMap<i64, Candidate> = candidates::load(connection, self.account.id, &ids)
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
            match queue::wanted(self.server, self.app.policy.progress, &candidate, self.app.clock.now()) {
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
