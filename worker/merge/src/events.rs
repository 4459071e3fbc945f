//! Events of webhooks: merged in batches, each batch in one transaction that also notes every event's verdict and queues what other servers must be told.
//!
//! Several processes may do so at once: an event is claimed by one of them, and the events of one account are merged by one at a time.

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};
use watchstate_domain::brake;
use watchstate_domain::item::Item;
use watchstate_domain::matching::TitleId;
use watchstate_domain::merge::{Context, Observation, Reading, Rule};
use watchstate_domain::notice::{Base, Happened, Meaning, Reason, happened_at, meaning};
use watchstate_domain::policy::ImportMode;
use watchstate_domain::watch::Event;
use watchstate_store::inbox::{self, Concluded, Open, Verdict};
use watchstate_store::items::{self, Known};
use watchstate_store::locks::{self, Titles};
use watchstate_store::observations::{self, Observed};
use watchstate_store::plans::{self, Unplay};
use watchstate_store::registry::{self, Account, SchedulePolicy, Server};
use watchstate_store::wake::{self, Channel};
use watchstate_store::{Connection, Result, Store, titles};

use crate::household::Household;
use crate::queue::{self, Told};
use crate::truth::{self, Via};

/// Events of one batch.
const BATCH: i64 = 200;

/// Un-plays that arrive within this time count together for the brake.
const BURST: SignedDuration = SignedDuration::from_mins(10);

/// An event that got its verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merged {
    /// The server that it came from.
    pub server_id: i64,
    /// What became of it.
    pub verdict: Verdict,
    /// Why, where it came to nothing.
    pub reason: Option<Reason>,
    /// The rule that decided, where it was merged.
    pub rule: Option<Rule>,
}

impl Merged {
    /// What it counts as: the kind of its server, the verdict, and why in one word, which is the reason or else the rule. None: its server has gone.
    pub fn counts_as(&self, household: &Household) -> Option<(&'static str, &'static str, &'static str)> {
        let kind = household.servers.get(&self.server_id)?.kind;
        let why = self.reason.map_or_else(|| self.rule.map_or("", Rule::as_str), Reason::as_str);
        Some((kind.as_str(), self.verdict.as_str(), why))
    }
}

/// How far an event has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It has just been received.
    Received,
    /// The server was asked for its item.
    LookedUp,
}

/// Merges a batch of the events that wait. Empty: none waits. Call it until it comes back empty.
pub async fn merge_waiting(store: &Store, household: &Household, now: Timestamp) -> Result<Vec<Merged>> {
    match batch(store, household, BATCH, now).await {
        // One of them can't be stored, ever: it must not keep the others waiting.
        Err(error) if error.is_of_data() => one_by_one(store, household, now).await,
        outcome => outcome,
    }
}

async fn batch(store: &Store, household: &Household, limit: i64, now: Timestamp) -> Result<Vec<Merged>> {
    let mut transaction = store.begin().await?;
    let events = inbox::claim(&mut transaction, limit, now).await?;
    let merged = merge(household, &events, Stage::Received, now, &mut transaction).await?;
    transaction.commit().await?;
    Ok(merged)
}

async fn one_by_one(store: &Store, household: &Household, now: Timestamp) -> Result<Vec<Merged>> {
    let mut all = Vec::new();
    for _ in 0..BATCH {
        match batch(store, household, 1, now).await {
            Ok(merged) if merged.is_empty() => break,
            Ok(merged) => all.extend(merged),
            Err(error) if error.is_of_data() => {
                let mut transaction = store.begin().await?;
                let aside: Vec<Concluded> = inbox::claim(&mut transaction, 1, now)
                    .await?
                    .into_iter()
                    .map(|event| Concluded {
                        id: event.id,
                        verdict: Verdict::Ignored,
                        reason: Some(format!("it can't be merged: {error}")),
                        rule: None,
                    })
                    .collect();
                tracing::error!("an event can't be merged, and is put aside: {error}");
                inbox::conclude(&mut transaction, &aside, now).await?;
                transaction.commit().await?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// Merges events, in a transaction of the caller's.
pub async fn merge(
    household: &Household,
    events: &[Open],
    stage: Stage,
    now: Timestamp,
    connection: &mut Connection,
) -> Result<Vec<Merged>> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let mut by_account: BTreeMap<Option<i64>, Vec<&Open>> = BTreeMap::new();
    for event in events {
        by_account.entry(event.account_id).or_default().push(event);
    }
    let accounts: Vec<i64> = by_account.keys().copied().flatten().collect();
    locks::titles(connection, Titles::Use).await?;
    registry::lock_accounts(connection, &accounts).await?;
    let mut outcome = Outcome::default();
    for (account_id, events) in by_account {
        let account = account_id.and_then(|id| household.accounts.get(&id));
        let server = account.and_then(|account| household.server_of(account));
        match (account, server) {
            (Some(account), Some(server)) => {
                let policy = household.policy(server);
                let merging = Merging { household, server, account, policy: &policy, stage, now };
                merging.run(&events, &mut outcome, connection).await?;
            }
            // Its account was registered after this process has looked: whoever knows it by then merges it.
            (None, _) | (_, None) if account_id.is_some() && stage == Stage::Received => {}
            _ => {
                for event in events {
                    outcome.of_nobody(household, event, stage);
                }
            }
        }
    }
    inbox::conclude(connection, &outcome.concluded, now).await?;
    if outcome.wakes {
        wake::send(connection, Channel::Outbox).await?;
    }
    Ok(outcome.merged)
}

/// What came of a batch.
#[derive(Default)]
struct Outcome {
    concluded: Vec<Concluded>,
    merged: Vec<Merged>,
    /// There is something to write, or to look up.
    wakes: bool,
}

impl Outcome {
    fn nothing(&mut self, event: &Open, verdict: Verdict, reason: Reason) {
        self.wakes |= verdict == Verdict::Lookup;
        self.concluded.push(Concluded {
            id: event.id,
            verdict,
            reason: Some(reason.sentence().to_owned()),
            rule: None,
        });
        self.merged.push(Merged { server_id: event.server_id, verdict, reason: Some(reason), rule: None });
    }

    fn accepted(&mut self, event: &Open, rule: Option<Rule>) {
        let verdict = Verdict::Accepted;
        self.concluded.push(Concluded {
            id: event.id,
            verdict,
            reason: rule.map(|rule| rule.sentence().to_owned()),
            rule: rule.map(Rule::as_str),
        });
        self.merged.push(Merged { server_id: event.server_id, verdict, reason: None, rule });
    }

    /// A new item is nobody's event: the server is asked for it. Any other event of nobody has lost its account, or never had one.
    fn of_nobody(&mut self, household: &Household, event: &Open, stage: Stage) {
        let here = household.servers.get(&event.server_id).is_some_and(|server| !server.policy.suspend);
        match meaning_of_nobody(event) {
            Reason::New if stage == Stage::LookedUp => self.nothing(event, Verdict::Accepted, Reason::Read),
            Reason::New if here => self.nothing(event, Verdict::Lookup, Reason::New),
            Reason::New => self.nothing(event, Verdict::Ignored, Reason::Gone),
            reason => self.nothing(event, Verdict::Ignored, reason),
        }
    }
}

fn meaning_of_nobody(event: &Open) -> Reason {
    use watchstate_domain::notice::What;
    match event.notice.what {
        What::Added if event.notice.item.is_some() => Reason::New,
        What::Added => Reason::NoItem,
        _ if event.account_id.is_some() => Reason::Gone,
        // A replay, and its account is still nobody's.
        _ if event.notice.account.is_some() => Reason::OtherUser,
        _ => Reason::NoUser,
    }
}

/// What is known of an event's item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// It was read, and has a title.
    Matched,
    /// It was read, and nothing could be matched by it.
    Unmatched,
    /// It was never read.
    Nothing,
}

/// The merging of one account's events.
struct Merging<'a> {
    household: &'a Household,
    server: &'a Server,
    account: &'a Account,
    policy: &'a SchedulePolicy,
    stage: Stage,
    now: Timestamp,
}

/// What the events of a batch have come to, before it is stored.
#[derive(Default)]
struct Gathered {
    known: HashMap<String, Known>,
    /// Items whose un-play is held, and which were played again.
    played_again: Vec<i64>,
    /// Un-plays of known items that are held.
    held: HashMap<i64, Unplay>,
    titles: HashMap<i64, Vec<TitleId>>,
    other_libraries: Vec<i64>,
    told: Vec<(TitleId, Event, Rule)>,
    observed: HashMap<i64, Observed>,
    finishes: HashMap<i64, Timestamp>,
    queue: Told,
    unplays: u64,
}

impl Merging<'_> {
    async fn run(&self, events: &[&Open], outcome: &mut Outcome, connection: &mut Connection) -> Result<()> {
        let policy = &self.server.policy;
        if policy.suspend || !policy.webhook {
            return events.iter().try_for_each(|event| {
                outcome.nothing(event, Verdict::Ignored, Reason::Off);
                Ok(())
            });
        }
        let mut gathered = self.look(events, connection).await?;
        for event in events {
            self.one(event, &mut gathered, outcome, connection).await?;
        }
        let finishes: Vec<(i64, Timestamp)> =
            gathered.finishes.into_iter().filter(|(item_id, _)| !gathered.observed.contains_key(item_id)).collect();
        let observed: Vec<Observed> = gathered.observed.into_values().collect();
        observations::save(connection, self.account.id, &observed, self.now).await?;
        observations::finishes(connection, self.account.id, &finishes).await?;
        plans::take_out(connection, self.account.id, &gathered.played_again, self.now).await?;
        let via = Via { server: &self.server.name, kind: self.server.kind };
        truth::apply(self.account.person_id, via, &gathered.told, self.now, connection).await?;
        if !gathered.queue.titles.is_empty() {
            let queued = queue::told(self.household, self.account, &gathered.queue, self.now, connection).await?;
            outcome.wakes |= queued > 0;
        }
        Ok(())
    }

    /// What is known of the items that the events are of.
    async fn look(&self, events: &[&Open], connection: &mut Connection) -> Result<Gathered> {
        let mut remote_ids: Vec<String> =
            events.iter().filter_map(|event| event.notice.item.as_ref()).map(|item| item.remote_id.clone()).collect();
        remote_ids.sort_unstable();
        remote_ids.dedup();
        let known = items::known(connection, self.server.id, self.account.id, &remote_ids).await?;
        let keys: Vec<i64> = known.iter().map(|known| known.item_id).collect();
        let mut gathered =
            Gathered { other_libraries: items::in_other_libraries(connection, &keys).await?, ..Gathered::default() };
        for (item_id, title) in items::titles_of(connection, &keys).await? {
            gathered.titles.entry(item_id).or_default().push(title);
        }
        gathered.held = plans::held_of(connection, self.account.id, &keys).await?;
        gathered.known = known.into_iter().map(|known| (known.remote_id.clone(), known)).collect();
        Ok(gathered)
    }

    async fn one(
        &self,
        event: &Open,
        gathered: &mut Gathered,
        outcome: &mut Outcome,
        connection: &mut Connection,
    ) -> Result<()> {
        // A replay brings back what was refused when it came.
        let other = self.server.remote_id.as_deref().is_some_and(|id| event.notice.is_of_another(id));
        if other && self.server.policy.match_server {
            outcome.nothing(event, Verdict::Ignored, Reason::OtherServer);
            return Ok(());
        }
        let Some(item) = &event.notice.item else {
            let reason = match self.meaning(event, None, None) {
                Meaning::Nothing(reason) => reason,
                _ => Reason::NoItem,
            };
            outcome.nothing(event, Verdict::Ignored, reason);
            return Ok(());
        };
        let known = gathered.known.get(&item.remote_id).cloned();
        if known.as_ref().is_some_and(|known| gathered.other_libraries.contains(&known.item_id)) {
            outcome.nothing(event, Verdict::Ignored, Reason::OtherLibrary);
            return Ok(());
        }
        let base = known.as_ref().and_then(|known| {
            // An un-play that is held has happened at the server, whatever is decided about it.
            let held = gathered.held.get(&known.item_id);
            let observation = held.map(|held| Observation::of(&held.reading, held.order)).or(known.observation)?;
            Some(Base { observation, told_at: known.told_at })
        });
        let runtime_ms = known.as_ref().and_then(|known| known.runtime_ms).or(item.runtime_ms);
        match self.meaning(event, base.as_ref(), runtime_ms) {
            Meaning::Nothing(reason) if reason.is_known() => outcome.nothing(event, Verdict::Accepted, reason),
            Meaning::Nothing(reason) => outcome.nothing(event, Verdict::Ignored, reason),
            Meaning::Look(reason) => {
                let titles = known.as_ref().map(|known| gathered.titles.contains_key(&known.item_id));
                let found = match titles {
                    None => Found::Nothing,
                    Some(true) => Found::Matched,
                    Some(false) => Found::Unmatched,
                };
                self.look_up(event, reason, found, outcome);
            }
            Meaning::Happened(_) if !self.believed() => {
                outcome.nothing(event, Verdict::Ignored, Reason::NotBelieved);
            }
            // The server's own record bears the date of the viewing's start: told by both it would be two plays.
            Meaning::Happened(happened)
                if self.stage == Stage::Received
                    && base.is_none()
                    && happened.finish_told.is_some()
                    && self.server.kind.counts_at_start() =>
            {
                self.look_up(event, Reason::NotKnown, Found::Nothing, outcome);
            }
            Meaning::Happened(happened) => match known {
                Some(known) => self.known_item(event, &known, &happened, gathered, outcome, connection).await?,
                None => self.unknown_item(event, item, &happened, gathered, outcome, connection).await?,
            },
        }
        Ok(())
    }

    fn believed(&self) -> bool {
        self.server.policy.import && self.server.policy.import_mode == ImportMode::Full
    }

    /// Lets the server be asked; when it was asked already, `found` tells what that came to.
    fn look_up(&self, event: &Open, reason: Reason, found: Found, outcome: &mut Outcome) {
        match (self.stage, found) {
            (Stage::Received, _) => outcome.nothing(event, Verdict::Lookup, reason),
            (Stage::LookedUp, Found::Matched) => outcome.nothing(event, Verdict::Accepted, Reason::Read),
            (Stage::LookedUp, Found::Unmatched) => outcome.nothing(event, Verdict::Unmatched, Reason::NoIds),
            (Stage::LookedUp, Found::Nothing) => outcome.nothing(event, Verdict::Unmatched, Reason::NoSuchItem),
        }
    }

    fn meaning(&self, event: &Open, base: Option<&Base>, runtime_ms: Option<u64>) -> Meaning {
        let offset = self.server.clock_offset;
        let context = Context {
            now: happened_at(event.notice.sent_at, event.received_at, offset),
            offset,
            kind: self.server.kind,
            unplayed: self.server.policy.unplayed,
            progress: self.policy.progress,
        };
        meaning(event.notice.what, event.notice.sent_at, base, runtime_ms, &context)
    }

    async fn known_item(
        &self,
        event: &Open,
        known: &Known,
        happened: &Happened,
        gathered: &mut Gathered,
        outcome: &mut Outcome,
        connection: &mut Connection,
    ) -> Result<()> {
        let titles = gathered.titles.get(&known.item_id).cloned().unwrap_or_default();
        if titles.is_empty() {
            // Its ids may have come since it was read.
            self.look_up(event, Reason::NotKnown, Found::Unmatched, outcome);
            return Ok(());
        }
        let unplay = match (&happened.events[..], happened.observation) {
            ([Event::Unplayed { order }], Some(observation)) => Some((*order, observation)),
            _ => None,
        };
        if let Some((order, observation)) = unplay {
            let reading = Reading { state: observation.state, added_at: observation.added_at };
            let unplay = Unplay { item_id: known.item_id, order, reading };
            if self.brake(unplay, gathered.unplays, connection).await? {
                outcome.nothing(event, Verdict::Held, Reason::Brake);
                return Ok(());
            }
            gathered.unplays += 1;
        }
        if let Some(observation) = happened.observation {
            let rule = happened.rule.unwrap_or(Rule::Adopted);
            let told_at = event.notice.sent_at;
            gathered.observed.insert(known.item_id, Observed { item_id: known.item_id, observation, rule, told_at });
            if let Some(known) = gathered.known.get_mut(&known.remote_id) {
                known.observation = Some(observation);
                known.told_at = told_at.or(known.told_at);
            }
        }
        let plays = happened.events.iter().any(|told| matches!(told, Event::Played { .. }));
        if plays && gathered.held.remove(&known.item_id).is_some() {
            gathered.played_again.push(known.item_id);
        }
        if let Some(at) = happened.finish_told {
            gathered.finishes.insert(known.item_id, at);
            let observed = gathered.observed.get_mut(&known.item_id).map(|observed| &mut observed.observation);
            let known = gathered.known.get_mut(&known.remote_id).and_then(|known| known.observation.as_mut());
            for observation in observed.into_iter().chain(known) {
                observation.finish_told = Some(at);
            }
        }
        Self::tell(event, &titles, happened, gathered);
        outcome.accepted(event, happened.rule);
        Ok(())
    }

    /// An item that we have not read: its ids may name a title that others have. It is read all the same, and told only then where it may lie in a library that
    /// takes no part. One that has gone by then, deleted once it was watched, was watched all the same.
    async fn unknown_item(
        &self,
        event: &Open,
        item: &Item,
        happened: &Happened,
        gathered: &mut Gathered,
        outcome: &mut Outcome,
        connection: &mut Connection,
    ) -> Result<()> {
        let policy = &self.server.policy;
        let some_left_out = !(policy.include.is_empty() && policy.exclude.is_empty());
        if some_left_out || item.episode_end.is_some() {
            self.look_up(event, Reason::NotKnown, Found::Nothing, outcome);
            return Ok(());
        }
        let played: Vec<Event> =
            happened.events.iter().filter(|event| !matches!(event, Event::Unplayed { .. })).copied().collect();
        let title = titles::named(connection, self.server.id, item).await?.filter(|_| !played.is_empty());
        if let Some(title) = title {
            let told = Happened { events: played, ..happened.clone() };
            Self::tell(event, &[title], &told, gathered);
        }
        match (self.stage, title) {
            (Stage::LookedUp, Some(_)) => outcome.accepted(event, happened.rule),
            _ => self.look_up(event, Reason::NotKnown, Found::Nothing, outcome),
        }
        Ok(())
    }

    fn tell(event: &Open, titles: &[TitleId], happened: &Happened, gathered: &mut Gathered) {
        let rule = happened.rule.unwrap_or(Rule::Adopted);
        for title in titles {
            // A position in a file of several episodes says nothing of any of them.
            let events = happened
                .events
                .iter()
                .filter(|event| titles.len() == 1 || !matches!(event, Event::Position { .. }))
                .map(|event| (*title, *event, rule));
            gathered.told.extend(events);
            gathered.queue.titles.entry(*title).or_insert(event.received_at);
            if happened.observation.is_none() {
                gathered.queue.unread.insert(*title);
            }
        }
    }

    /// Holds an un-play when there are too many of them. True when it is held.
    async fn brake(&self, unplay: Unplay, in_batch: u64, connection: &mut Connection) -> Result<bool> {
        let since = self.now.checked_sub(BURST).unwrap_or(self.now);
        let before = inbox::unplays_since(connection, self.account.id, since).await?;
        let played = observations::played_total(connection, self.account.id).await? + before;
        if !brake::holds(before + in_batch + 1, played, self.policy.brake) {
            return Ok(false);
        }
        let plan = plans::hold(connection, self.server.id, self.account.id, &unplay, played, self.now).await?;
        tracing::warn!(
            server = self.server.name,
            plan,
            "too many titles were un-played at once: held, see `held show {plan}`"
        );
        Ok(true)
    }
}
