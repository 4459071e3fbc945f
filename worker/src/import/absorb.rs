//! One page: what is known of its items is looked up in one query; what is new or changed is placed, merged and stored in one transaction.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use roaring::RoaringTreemap;
use watchstate_domain::ids::Kind;
use watchstate_domain::item::Item;
use watchstate_domain::matching::TitleId;
use watchstate_domain::merge::{self, Context, Merged, Observation, OwnMark, Rule, seen_again, three_way};
use watchstate_domain::policy::ImportMode;
use watchstate_domain::watch::Event;
use watchstate_merge::place;
use watchstate_merge::truth::{self, Via};
use watchstate_runtime::Exit;
use watchstate_store::items::{self, Known};
use watchstate_store::locks::{self, Titles};
use watchstate_store::observations::{self, Observed};
use watchstate_store::own_marks;
use watchstate_store::plans::{self, Unplay};
use watchstate_store::registry::{self, Account, Server};
use watchstate_store::{Connection, StoreError, titles, transaction};

use crate::app::App;
use crate::contact::Trouble;
use crate::import::Counts;

/// How often a page is stored that meets others who are at the same titles.
const ATTEMPTS: u32 = 5;

/// What becomes of the states that a server tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum States {
    /// They are merged into the agreed truth.
    Merge,
    /// They are noted, so that the server can be written to, and change nothing.
    Note,
    /// They are left for the next import.
    Leave,
}

impl States {
    /// What a household wants of a server's states.
    pub fn of(server: &Server) -> Self {
        let policy = &server.policy;
        if policy.import && policy.import_mode == ImportMode::Full { Self::Merge } else { Self::Note }
    }
}

/// Merges the pages of one account.
pub struct Reader<'a> {
    /// The process.
    pub app: &'a App,
    /// The server.
    pub server: &'a Server,
    /// Whose states are read.
    pub account: &'a Account,
    /// What was done.
    pub counts: Counts,
    /// The plan that collects un-plays.
    pub plan_id: i64,
    /// How many un-plays it got.
    pub unplays: u64,
    /// How many un-plays wait in an older plan already.
    pub waiting: u64,
    /// The items that were found un-played: a library that is read in full after a look at what is new tells them twice.
    unplayed: RoaringTreemap,
    /// Some un-plays of the account are held.
    holds: bool,
    looks_up: bool,
    states: States,
    context: Context,
}

/// An item of which something is to be stored.
struct Work<'a> {
    item: &'a Item,
    known: Option<&'a Known>,
    /// What its state is compared with.
    base: Option<Observation>,
    /// Its titles must be found (again).
    place: Option<place::Fingerprint>,
    /// It tells a state that isn't known.
    tells: bool,
}

/// What came of storing a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stored {
    /// All of it is stored.
    All,
    /// Nothing is: an event told something of its items since it was compared with what was known.
    Overtaken,
}

/// A merged state of an item.
struct Outcome {
    item_id: i64,
    titles: Vec<TitleId>,
    merged: Merged,
    reading: merge::Reading,
}

impl<'a> Reader<'a> {
    /// A reader for one account. `asked_at`: before the first page was asked for.
    pub fn new(
        app: &'a App,
        server: &'a Server,
        account: &'a Account,
        plan_id: i64,
        states: States,
        asked_at: Timestamp,
    ) -> Self {
        let context = Context {
            now: asked_at,
            offset: server.clock_offset,
            kind: server.kind,
            unplayed: server.policy.unplayed,
            progress: app.policy.progress,
        };
        Self {
            app,
            server,
            account,
            counts: Counts::default(),
            plan_id,
            unplays: 0,
            waiting: 0,
            unplayed: RoaringTreemap::new(),
            holds: false,
            looks_up: false,
            states,
            context,
        }
    }

    /// Says that the first page of a reading is about to be asked for: what is known from before then is older than its pages.
    pub fn asks(&mut self) {
        self.context.now = self.app.clock.now();
    }

    /// Says that single items are looked up: un-plays are left to the next import, which sees how many there are, and what is found as it is known counts as
    /// seen.
    #[must_use]
    pub fn looking_up(mut self) -> Self {
        self.looks_up = true;
        self
    }

    /// Says whether any un-play of the account is held: then what is played again is looked for.
    #[must_use]
    pub fn holding(mut self, holds: bool) -> Self {
        self.holds = holds;
        self
    }

    /// Now, on our clock.
    pub fn now(&self) -> Timestamp {
        self.app.clock.now()
    }

    /// Now, on the server's clock.
    pub fn their_now(&self) -> Timestamp {
        self.server.clock_offset.to_theirs(self.app.clock.now())
    }

    /// True when un-plays wait for the end of the account.
    pub const fn has_unplays(&self) -> bool {
        self.unplays > 0
    }

    /// False when states are left for the next import: what was read then counts as unread.
    pub fn reads_states(&self) -> bool {
        self.states != States::Leave
    }

    /// Takes a page in. `library_id`: None for single items that are known already, whose titles are left as they are. `seen` gets the keys of the
    /// page's films and episodes.
    pub async fn page(
        &mut self,
        library_id: Option<i64>,
        page: &[Item],
        seen: &mut RoaringTreemap,
        connection: &mut Connection,
    ) -> Result<(), Trouble> {
        for attempt in 1..ATTEMPTS {
            let before = (self.counts.clone(), self.unplays, self.waiting, self.unplayed.clone());
            match self.take(library_id, page, seen, connection).await? {
                Ok(Stored::All) => return Ok(()),
                Ok(Stored::Overtaken) => {}
                // Events tell of several titles as well, in an order of their own: what one waits for the other may hold.
                Err(error) if error.is_deadlock() => {}
                Err(error) => return Err(error.into()),
            }
            // What the other told is known by the next attempt, and must be: the page is compared with it.
            tracing::info!(
                server = self.server.name,
                attempt,
                "a page is stored anew: another process was at the same titles"
            );
            let Counts { new, conflicts, joined, .. } = self.counts;
            (self.counts, self.unplays, self.waiting, self.unplayed) = before;
            // Its items were placed, and aren't new any more.
            self.counts = Counts { new, conflicts, joined, ..self.counts.clone() };
        }
        match self.take(library_id, page, seen, connection).await?? {
            Stored::All => Ok(()),
            Stored::Overtaken => Err(Trouble {
                message: format!("server {}: other processes were at the same titles time and again", self.server.name),
                exit: Exit::TryAgain,
            }),
        }
    }

    /// Takes a page in, once. What went wrong with storing its states apart: then nothing of them was stored.
    async fn take(
        &mut self,
        library_id: Option<i64>,
        page: &[Item],
        seen: &mut RoaringTreemap,
        connection: &mut Connection,
    ) -> Result<Result<Stored, StoreError>, Trouble> {
        let remote_ids: Vec<String> = page.iter().map(|item| item.remote_id.clone()).collect();
        let known = self.known(&remote_ids, connection).await?;
        let back = self.back(page, &known, connection).await?;
        let mut work = Vec::new();
        let mut unchanged = Vec::new();
        for item in page {
            self.counts.read += u64::from(item.kind != Kind::Show);
            self.counts.junk_ids += u64::from(item.junk_ids);
            let known = known.get(&item.remote_id);
            if let Some(known) = known {
                seen.insert(u64::try_from(known.item_id).unwrap_or_default());
            }
            let print = place::fingerprint(self.server, item);
            let place = (library_id.is_some()
                && known.is_none_or(|known| known.hash != print.hash || known.library_id != library_id || known.gone))
            .then_some(print);
            let base = known.and_then(|known| {
                let held = back.get(&known.item_id);
                held.map(|held| Observation::of(&held.reading, held.order)).or(known.observation)
            });
            let state = item.kind != Kind::Show
                && self.states != States::Leave
                && known.is_none_or(|known| differs(item, known, self.context.now));
            if place.is_some() || state {
                work.push(Work { item, known, base, place, tells: state });
            } else if let Some(known) = known {
                unchanged.push(known.item_id);
            }
        }
        if self.looks_up {
            observations::confirm(connection, self.account.id, &unchanged, self.context.now).await?;
        }
        if work.is_empty() {
            plans::take_out(connection, self.account.id, &keys(&back), self.now()).await?;
            return Ok(Ok(Stored::All));
        }
        // Copies of one item in one page would be stored twice: the last word counts.
        let mut last: HashMap<&str, usize> = HashMap::new();
        for (position, one) in work.iter().enumerate() {
            last.insert(&one.item.remote_id, position);
        }
        if last.len() < work.len() {
            let keep: BTreeSet<usize> = last.into_values().collect();
            let mut position = 0;
            work.retain(|_| {
                position += 1;
                keep.contains(&(position - 1))
            });
        }
        let placed = self.place(library_id, &work, connection).await?;
        Ok(self.store(&work, &placed, &keys(&back), seen, connection).await)
    }

    async fn known(
        &self,
        remote_ids: &[String],
        connection: &mut Connection,
    ) -> Result<HashMap<String, Known>, StoreError> {
        let known = items::known(connection, self.server.id, self.account.id, remote_ids).await?;
        Ok(known.into_iter().map(|known| (known.remote_id.clone(), known)).collect())
    }

    /// The items whose un-play is held and which the page tells as played: with them as they were then, it is compared.
    async fn back(
        &self,
        page: &[Item],
        known: &HashMap<String, Known>,
        connection: &mut Connection,
    ) -> Result<HashMap<i64, Unplay>, StoreError> {
        if !self.holds || self.states != States::Merge {
            return Ok(HashMap::new());
        }
        let newer = |known: &&Known| known.observation.is_none_or(|base| base.true_at <= self.context.now);
        let played = page.iter().filter(|item| item.state.played);
        let played: Vec<i64> =
            played.filter_map(|item| known.get(&item.remote_id).filter(newer)).map(|known| known.item_id).collect();
        plans::held_of(connection, self.account.id, &played).await
    }

    /// Keeps events of the account from being merged until the transaction ends, and tells whether any were since the page was compared.
    async fn overtaken(&self, work: &[Work<'_>], connection: &mut Connection) -> Result<bool, StoreError> {
        registry::lock_accounts(connection, &[self.account.id]).await?;
        let before = work.iter().filter_map(|one| one.known);
        let ids: Vec<String> = before.clone().map(|known| known.remote_id.clone()).collect();
        if ids.is_empty() {
            return Ok(false);
        }
        let now = self.known(&ids, connection).await?;
        let same = |known: &Known| now.get(&known.remote_id).is_some_and(|now| now.observation == known.observation);
        Ok(!before.clone().all(same))
    }

    /// Finds the titles of what is new or changed. A transaction of its own: titles are made by one at a time, and nobody should wait for our states.
    async fn place<'w>(
        &mut self,
        library_id: Option<i64>,
        work: &'w [Work<'w>],
        connection: &mut Connection,
    ) -> Result<place::Outcome<'w>, Trouble> {
        let placing: Vec<place::Task<'_>> = work
            .iter()
            .filter_map(|one| {
                one.place.as_ref().map(|print| place::Task {
                    item: one.item,
                    print,
                    known: one.known.map(|known| known.item_id),
                })
            })
            .collect();
        let Some(library_id) = library_id.filter(|_| !placing.is_empty()) else {
            return Ok(place::Outcome::default());
        };
        let mut transaction = transaction::begin(connection).await?;
        locks::titles(&mut transaction, Titles::Change).await?;
        let placed = place::all(self.server, library_id, &placing, self.now(), &mut transaction).await?;
        transaction.commit().await?;
        self.counts.joined += placed.joined;
        self.counts.conflicts += placed.conflicts;
        Ok(placed)
    }

    /// Stores what a page tells, all of it or nothing.
    async fn store(
        &mut self,
        work: &[Work<'_>],
        placed: &place::Outcome<'_>,
        played_again: &[i64],
        seen: &mut RoaringTreemap,
        connection: &mut Connection,
    ) -> Result<Stored, StoreError> {
        let mut transaction = transaction::begin(connection).await?;
        let connection: &mut Connection = &mut transaction;
        if self.overtaken(work, connection).await? {
            return Ok(Stored::Overtaken);
        }
        plans::take_out(connection, self.account.id, played_again, self.now()).await?;
        let item_of = |one: &Work<'_>| {
            let found = placed.items.get(one.item.remote_id.as_str());
            found.map(|found| found.item_id).or_else(|| one.known.map(|known| known.item_id))
        };
        let all: Vec<i64> = work.iter().filter_map(item_of).collect();
        let mut titles: HashMap<i64, Vec<TitleId>> = HashMap::new();
        for (item_id, title) in items::titles_of(connection, &all).await? {
            titles.entry(item_id).or_default().push(title);
        }
        let back = |one: &&Work<'_>| one.place.is_none() && one.known.is_some_and(|known| known.gone);
        let back: Vec<i64> = work.iter().filter(back).filter_map(item_of).collect();
        items::revive(connection, &back).await?;
        let own = self.own_marks(work, placed, connection).await?;
        let mut outcomes = Vec::with_capacity(work.len());
        for one in work {
            let Some(item_id) = item_of(one) else { continue };
            let titles = titles.remove(&item_id).unwrap_or_default();
            let moved = placed.items.get(one.item.remote_id.as_str()).is_some_and(|found| found.moved);
            if one.item.kind == Kind::Show {
                continue;
            }
            seen.insert(u64::try_from(item_id).unwrap_or_default());
            self.counts.new += u64::from(one.known.is_none());
            self.counts.unmatched += u64::from(titles.is_empty());
            // What must be placed anew needn't tell anything: what is known of its state may be newer than this page.
            let tells = one.tells || moved || one.known.is_none_or(|known| known.observation.is_none());
            if self.states == States::Leave || !tells {
                continue;
            }
            // Other titles than before: what was seen of the old ones says nothing of the new.
            let base = one.base.filter(|_| !moved);
            let reading = merge::Reading { state: one.item.state, added_at: one.item.added_at };
            let merged = match (base, own.get(&one.item.remote_id)) {
                (None, Some(mark)) => seen_again(&reading, mark, &self.context),
                (base, _) => three_way(&reading, base.as_ref(), &self.context),
            };
            outcomes.push(Outcome { item_id, titles, merged, reading });
        }
        if self.states == States::Merge {
            hold(&mut outcomes, connection).await?;
        }
        self.merge(&outcomes, connection).await?;
        transaction.commit().await?;
        Ok(Stored::All)
    }

    /// The marks that we made for an account that was registered before, on items that are played and seen for the first time.
    async fn own_marks(
        &self,
        work: &[Work<'_>],
        placed: &place::Outcome<'_>,
        connection: &mut Connection,
    ) -> Result<HashMap<String, OwnMark>, StoreError> {
        let moved = |one: &Work<'_>| placed.items.get(one.item.remote_id.as_str()).is_some_and(|found| found.moved);
        let first = |one: &&Work<'_>| {
            one.item.state.played && (moved(one) || one.known.is_none_or(|known| known.observation.is_none()))
        };
        let items: Vec<String> = work.iter().filter(first).map(|one| one.item.remote_id.clone()).collect();
        match own_marks::owner(self.server, self.account) {
            Some(owner) => Ok(own_marks::of(connection, owner, &items).await?),
            None => Ok(HashMap::new()),
        }
    }

    async fn merge(&mut self, outcomes: &[Outcome], connection: &mut Connection) -> Result<(), StoreError> {
        let believed = self.states == States::Merge;
        let mut unplays = Vec::new();
        let mut observed = Vec::with_capacity(outcomes.len());
        let mut told: Vec<(TitleId, Event, Rule)> = Vec::new();
        for outcome in outcomes {
            let merged = &outcome.merged;
            self.count(merged);
            if believed && let Some(Event::Unplayed { order }) = merged.mark {
                if self.looks_up {
                    continue;
                }
                if self.unplayed.insert(u64::try_from(outcome.item_id).unwrap_or_default()) {
                    unplays.push(Unplay { item_id: outcome.item_id, order, reading: outcome.reading });
                }
                continue;
            }
            observed.push(Observed {
                item_id: outcome.item_id,
                observation: merged.observation,
                rule: merged.rule,
                told_at: None,
            });
            if !believed {
                continue;
            }
            for title in &outcome.titles {
                told.extend(merged.mark.map(|event| (*title, event, merged.rule)));
                // A position in a file of several episodes says nothing of any of them.
                told.extend(
                    merged.position.filter(|_| outcome.titles.len() == 1).map(|event| (*title, event, merged.rule)),
                );
            }
        }
        observations::save(connection, self.account.id, &observed, self.context.now).await?;
        let via = Via { server: &self.server.name, kind: self.server.kind };
        truth::apply(self.account.person_id, via, &told, self.context.now, connection).await?;
        if !unplays.is_empty() {
            let waiting = plans::collect(connection, self.plan_id, &unplays).await?;
            self.waiting += waiting;
            self.unplays += (unplays.len() as u64).saturating_sub(waiting);
        }
        Ok(())
    }

    fn count(&mut self, merged: &Merged) {
        self.counts.changed += u64::from(merged.rule != Rule::Unchanged);
        if self.states != States::Merge {
            return;
        }
        match merged.rule {
            Rule::FirstSightPlayed | Rule::NewlyPlayed => self.counts.played += 1,
            Rule::PlayedAgain => self.counts.played_again += 1,
            Rule::Echo => self.counts.echoes += 1,
            _ => {}
        }
        self.counts.positions += u64::from(merged.position.is_some());
    }
}

fn keys(held: &HashMap<i64, Unplay>) -> Vec<i64> {
    held.keys().copied().collect()
}

/// Keeps the titles of which something is told from being joined away until it is stored. Another server may have joined some since they were found: then
/// their items' titles are looked up again.
async fn hold(outcomes: &mut [Outcome], connection: &mut Connection) -> Result<(), StoreError> {
    let tells = |outcome: &Outcome| outcome.merged.mark.is_some() || outcome.merged.position.is_some();
    loop {
        let told: BTreeSet<TitleId> =
            outcomes.iter().filter(|outcome| tells(outcome)).flat_map(|outcome| outcome.titles.clone()).collect();
        if titles::hold(connection, &told).await? == told.len() {
            return Ok(());
        }
        let items: Vec<i64> = outcomes.iter().map(|outcome| outcome.item_id).collect();
        let mut now: HashMap<i64, Vec<TitleId>> = HashMap::new();
        for (item_id, title) in items::titles_of(connection, &items).await? {
            now.entry(item_id).or_default().push(title);
        }
        for outcome in &mut *outcomes {
            outcome.titles = now.remove(&outcome.item_id).unwrap_or_default();
        }
    }
}

/// True when the account's state isn't what was last seen, or was never seen. What was learned after the page was asked for, by an event or by a write
/// of ours, is newer than the page: compared with that, a play would look as if it had been taken back.
fn differs(item: &Item, known: &Known, asked_at: Timestamp) -> bool {
    known
        .observation
        .is_none_or(|base| base.true_at <= asked_at && (base.state != item.state || base.added_at != item.added_at))
}
