//! Events of webhooks, where the receiver left them: those that wait are merged, and what an event doesn't tell is looked up at its server.

use std::collections::{BTreeMap, HashMap};

use jiff::SignedDuration;
use roaring::RoaringTreemap;
use watchstate_domain::item::Item;
use watchstate_domain::notice::{Reason, What};
use watchstate_merge::events::{self, Merged, Stage};
use watchstate_merge::household::Household;
use watchstate_runtime::Exit;
use watchstate_servers::AccountView;
use watchstate_store::inbox::{self, Concluded, Open, Verdict};
use watchstate_store::registry::Account;
use watchstate_store::{Connection, items, plans, transaction};

use crate::app::App;
use crate::contact::{Contact, Trouble, unless_stopped};
use crate::export;
use crate::import::absorb::{Reader, States};
use crate::import::library::take_in;
use crate::import::note_libraries;

/// Events that are looked up with one request.
const BATCH: i64 = 100;
/// The first wait after a lookup that failed; it doubles with each.
const FIRST_WAIT: SignedDuration = SignedDuration::from_secs(30);
/// The longest wait.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(6);
/// Why an event waits whose account came to the registry after the server was reached.
const NOT_LOOKED_FOR: &str = "its account is new, and wasn't looked for yet";

/// Merges the events that wait. Returns how many there were.
pub async fn merge(app: &App) -> Result<u64, Trouble> {
    let mut connection = app.store.acquire().await?;
    let household = Household::load(&mut connection).await?;
    drop(connection);
    let mut count = 0;
    loop {
        let merged = events::merge_waiting(&app.store, &household, app.clock.now()).await?;
        if merged.is_empty() {
            return Ok(count);
        }
        count += merged.len() as u64;
        tally(app, &household, &merged);
    }
}

fn tally(app: &App, household: &Household, merged: &[Merged]) {
    app.metrics.received(merged.iter().filter_map(|event| event.counts_as(household)));
}

/// Looks up what events of a server didn't tell, and merges them. Call it by whoever holds the server's write lane. Returns how many there were. What goes
/// wrong with one account keeps no other waiting: it is told at the end.
pub async fn look_up(app: &App, contact: &Contact, connection: &mut Connection) -> Result<u64, Trouble> {
    let mut count = 0;
    let mut looking = Looking { app, contact, failed: BTreeMap::new() };
    while !app.stop.is_cancelled() {
        let open = inbox::lookups(connection, contact.server.id, app.clock.now(), BATCH).await?;
        if open.is_empty() {
            break;
        }
        count += open.len() as u64;
        if let Err(trouble) = looking.batch(&open, connection).await {
            postpone(app, &open.iter().collect::<Vec<_>>(), &trouble.message, connection).await?;
            return Err(trouble);
        }
    }
    looking.failed.into_values().next().map_or(Ok(count), Err)
}

/// What keeps a server from answering isn't the events' fault: each waits a little longer every time.
async fn postpone(app: &App, events: &[&Open], reason: &str, connection: &mut Connection) -> Result<(), Trouble> {
    if events.is_empty() {
        return Ok(());
    }
    let tries = events.iter().map(|event| event.attempts).max().unwrap_or_default();
    let wait = FIRST_WAIT.saturating_mul(1 << tries.clamp(0, 16)).min(LONGEST_WAIT);
    let now = app.clock.now();
    let next = now.saturating_add(wait).unwrap_or(now);
    let ids: Vec<i64> = events.iter().map(|event| event.id).collect();
    Ok(inbox::postpone(connection, &ids, next, reason).await?)
}

/// What becomes of an event that was to be looked up.
enum Fate<'a> {
    /// What is known of its item counts.
    Merged,
    /// Its account is not in the registry any more.
    Gone,
    /// Its account couldn't be read.
    Failed(&'a Trouble),
    /// Its account is registered, but wasn't found at the server: after a rename, or while plex.tv tells of the owner alone.
    Missing,
}

struct Looking<'a> {
    app: &'a App,
    contact: &'a Contact,
    /// Accounts that couldn't be read: they aren't asked for again, a dead server would keep everybody waiting for each batch.
    failed: BTreeMap<i64, Trouble>,
}

impl Looking<'_> {
    async fn batch(&mut self, open: &[Open], connection: &mut Connection) -> Result<(), Trouble> {
        let contact = self.contact;
        let mut aside: Vec<(&Open, Reason)> = Vec::new();
        let mut read = 0;
        // Events of nobody are of everybody: a new item is read for each account.
        for (account, remote) in &contact.accounts {
            let mine: Vec<&Open> =
                open.iter().filter(|event| event.account_id.is_none_or(|id| id == account.id)).collect();
            if mine.is_empty() || self.failed.contains_key(&account.id) {
                continue;
            }
            let others = match self.account(account, remote, &mine, connection).await {
                Ok(others) => others,
                Err(trouble) if self.app.stop.is_cancelled() => return Err(trouble),
                Err(trouble) => {
                    self.failed.insert(account.id, trouble);
                    continue;
                }
            };
            read += 1;
            aside.extend(mine.iter().filter(|event| event.account_id.is_some()).filter_map(|event| {
                let remote_id = &event.notice.item.as_ref()?.remote_id;
                others.contains(remote_id).then_some((*event, Reason::OtherLibrary))
            }));
        }
        let household = Household::load(connection).await?;
        let mut later: BTreeMap<&str, Vec<&Open>> = BTreeMap::new();
        let missing: Vec<&str> = contact.missing.iter().map(|trouble| trouble.message.as_str()).collect();
        let missing = missing.join("; ");
        for event in open {
            match self.fate(event, read, &household) {
                Fate::Merged => {}
                Fate::Gone => aside.push((event, Reason::Gone)),
                Fate::Failed(trouble) => later.entry(&trouble.message).or_default().push(event),
                Fate::Missing => {
                    later.entry(if missing.is_empty() { NOT_LOOKED_FOR } else { &missing }).or_default().push(event);
                }
            }
        }
        let left =
            |id: i64| aside.iter().any(|(one, _)| one.id == id) || later.values().flatten().any(|one| one.id == id);
        let rest: Vec<Open> = open.iter().filter(|event| !left(event.id)).cloned().collect();
        let new = rest.iter().any(|event| event.notice.what == What::Added);
        let now = self.app.clock.now();
        let mut transaction = transaction::begin(connection).await?;
        let mut merged = events::merge(&household, &rest, Stage::LookedUp, now, &mut transaction).await?;
        let concluded: Vec<Concluded> = aside.iter().map(|(event, reason)| put_aside(event, *reason)).collect();
        inbox::conclude(&mut transaction, &concluded, now).await?;
        merged.extend(aside.iter().map(|(event, reason)| Merged {
            server_id: event.server_id,
            verdict: Verdict::Ignored,
            reason: Some(*reason),
            rule: None,
        }));
        if new && contact.server.policy.export {
            // What people have watched elsewhere is watched here as well.
            for (account, _) in &contact.accounts {
                export::queue(self.app, &contact.server, account, None, &mut transaction).await?;
            }
        }
        for (reason, events) in &later {
            postpone(self.app, events, reason, &mut transaction).await?;
        }
        transaction.commit().await?;
        tally(self.app, &household, &merged);
        Ok(())
    }

    /// What becomes of an event once `read` of the accounts were read.
    fn fate(&self, event: &Open, read: usize, household: &Household) -> Fate<'_> {
        let found = |id: i64| self.contact.accounts.iter().any(|(account, _)| account.id == id);
        match event.account_id {
            Some(id) if found(id) => self.failed.get(&id).map_or(Fate::Merged, Fate::Failed),
            Some(id) if household.accounts.contains_key(&id) => Fate::Missing,
            Some(_) => Fate::Gone,
            // What passes is waited for: nobody else tells that account of the new item.
            None if let Some(passing) = self.failed.values().find(|trouble| trouble.exit == Exit::TryAgain) => {
                Fate::Failed(passing)
            }
            None if read > 0 => Fate::Merged,
            None if self.failed.is_empty() && self.contact.missing.is_empty() => Fate::Merged,
            None => self.failed.values().next().map_or(Fate::Missing, Fate::Failed),
        }
    }

    /// Reads one account's part; what [`Self::read`] returns.
    async fn account(
        &self,
        account: &Account,
        remote: &watchstate_servers::Account,
        mine: &[&Open],
        connection: &mut Connection,
    ) -> Result<Vec<String>, Trouble> {
        let view = self.contact.view(self.app, account, remote).await?;
        self.read(account, view.as_ref(), mine, connection).await
    }

    /// Reads the items of events, and merges them as an import would. Returns those whose library doesn't take part.
    async fn read(
        &self,
        account: &Account,
        view: &dyn AccountView,
        open: &[&Open],
        connection: &mut Connection,
    ) -> Result<Vec<String>, Trouble> {
        let server = &self.contact.server;
        let mut ids: Vec<String> =
            open.iter().filter_map(|event| event.notice.item.as_ref()).map(|item| item.remote_id.clone()).collect();
        ids.sort_unstable();
        ids.dedup();
        let asked_at = self.app.clock.now();
        let there = unless_stopped(self.app, view.items_by_id(&ids)).await?;
        let told: HashMap<&str, &str> = open
            .iter()
            .filter_map(|event| {
                Some((event.notice.item.as_ref()?.remote_id.as_str(), event.notice.library_id.as_deref()?))
            })
            .collect();
        let known = items::known(connection, server.id, account.id, &ids).await?;
        let mut by_library: BTreeMap<i64, Vec<Item>> = BTreeMap::new();
        let mut others = Vec::new();
        let mut part: Option<HashMap<String, i64>> = None;
        for item in there {
            let held = known.iter().find(|known| known.remote_id == item.remote_id);
            let mut library = held.and_then(|held| held.library_id);
            if library.is_none() {
                if part.is_none() {
                    part = Some(self.libraries(view, connection).await?);
                }
                let lies_in = match told.get(item.remote_id.as_str()) {
                    Some(library) => vec![(*library).to_owned()],
                    None => unless_stopped(self.app, view.libraries_of(&item.remote_id)).await?,
                };
                library = lies_in.iter().find_map(|library| part.as_ref()?.get(library).copied());
            }
            match library {
                Some(library_id) => by_library.entry(library_id).or_default().push(item),
                None => others.push(item.remote_id),
            }
        }
        let holds = plans::holds(connection, account.id).await?;
        let mut reader = Reader::new(self.app, server, account, 0, self.states(), asked_at).looking_up().holding(holds);
        for (library_id, items) in by_library {
            take_in(&mut reader, view, library_id, items, &mut RoaringTreemap::new(), connection).await?;
        }
        Ok(others)
    }

    /// The libraries that take part, by the server's ids of them.
    async fn libraries(
        &self,
        view: &dyn AccountView,
        connection: &mut Connection,
    ) -> Result<HashMap<String, i64>, Trouble> {
        let libraries = unless_stopped(self.app, view.libraries()).await?;
        let part = note_libraries(&self.contact.server, &libraries, connection).await?;
        Ok(part.into_iter().map(|(library, id)| (library.id.clone(), id)).collect())
    }

    fn states(&self) -> States {
        States::of(&self.contact.server)
    }
}

fn put_aside(event: &Open, reason: Reason) -> Concluded {
    Concluded { id: event.id, verdict: Verdict::Ignored, reason: Some(reason.sentence().to_owned()), rule: None }
}
