//! `push --follow`: a process that stays, and writes to the servers what changes as soon as it is known.
//!
//! One lane a server, so that a dead one delays nobody: it sleeps until its next write is due or somebody wakes it (`LISTEN`), and looks by itself from time
//! to time for what no wake-up told. Several such processes share the work: whoever holds a server's write lock does it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Result;
use backon::{BackoffBuilder, ExponentialBuilder};
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use watchstate_runtime::Exit;
use watchstate_runtime::admin::{self, AdminArgs, AdminError, AdminServer, Dependency, Readiness, Refresh};
use watchstate_runtime::metrics::{self, Metrics, OutboxState, ServerName};
use watchstate_store::locks::Lane;
use watchstate_store::registry::{self, Account, SchedulePolicy, Server};
use watchstate_store::runs::{self, Started};
use watchstate_store::wake::Channel;
use watchstate_store::{Connection, Store, inbox, outbox, plans};

use crate::app::{self, App};
use crate::args::PushArgs;
use crate::contact::{self, Contact, Trouble};
use crate::{events, push};

/// How often is looked for what no wake-up told.
const SWEEP: Duration = Duration::from_secs(30);
/// When another worker is at a server: how long until we look whether it left something.
const BUSY: Duration = Duration::from_secs(1);
/// How long a server is taken for what it said it was, and its clock for what it was.
const CONTACT: SignedDuration = SignedDuration::from_mins(5);
/// So long one row of `run` tells of a lane's work.
const SHIFT: SignedDuration = SignedDuration::from_hours(1);

/// The admin port of a process that follows: it answers before the database does.
#[derive(Debug)]
pub struct Port {
    database: Dependency,
    /// Where gauges are read from, once it is there.
    store: Arc<OnceLock<Store>>,
    served: JoinHandle<Result<(), AdminError>>,
    drained: CancellationToken,
}

impl Port {
    /// Binds and serves it. `stop`: no new work should come.
    pub async fn open(admin_address: SocketAddr, metrics: Arc<Metrics>, stop: CancellationToken) -> Result<Self> {
        let admin = AdminServer::bind(&AdminArgs { admin_address }).await?;
        let readiness = Readiness::new(stop);
        let database = readiness.require("database");
        let store = Arc::new(OnceLock::new());
        let routes = admin::router(readiness, metrics.clone(), Some(refresh(Arc::clone(&store), metrics)));
        let drained = CancellationToken::new();
        let served = tokio::spawn(admin.serve(routes, drained.clone()));
        Ok(Self { database, store, served, drained })
    }

    /// Closes it, once all work is done.
    pub async fn close(self) -> Result<()> {
        self.drained.cancel();
        Ok(self.served.await??)
    }
}

/// Follows until the process shall end.
pub async fn run(app: &mut App, args: &PushArgs, port: &Port) -> Exit {
    port.store.get_or_init(|| app.store.clone());
    let job = Uuid::new_v4();
    while let Some(policy) = serve(app, args, job, &port.database).await {
        app.policy = policy;
    }
    Exit::Done
}

/// Follows until the process shall end (None), or the schedule's policy changes.
async fn serve(app: &App, args: &PushArgs, job: Uuid, database: &Dependency) -> Option<SchedulePolicy> {
    let mut lanes = Lanes { app, args, job, at: HashMap::new(), running: FuturesUnordered::new() };
    let changed = lanes.follow(database).await;
    lanes.end().await;
    changed
}

/// A running lane.
struct Handle {
    server: Server,
    accounts: Vec<Account>,
    wake: Arc<Notify>,
    stop: CancellationToken,
}

/// The lanes of all servers.
struct Lanes<'a> {
    app: &'a App,
    args: &'a PushArgs,
    job: Uuid,
    at: HashMap<i64, Handle>,
    running: FuturesUnordered<BoxFuture<'a, i64>>,
}

impl Lanes<'_> {
    async fn follow(&mut self, database: &Dependency) -> Option<SchedulePolicy> {
        let app = self.app;
        let mut waits = patience();
        while !app.stop.is_cancelled() {
            match self.listen(database).await {
                Ok(changed) => return changed,
                Err(trouble) => {
                    database.set(false);
                    let wait = waits.next().unwrap_or(SWEEP);
                    tracing::warn!(?wait, "the database doesn't answer; trying again: {}", trouble.message);
                    self.run_until(tokio::time::sleep(wait)).await;
                }
            }
        }
        None
    }

    /// Listens, on one connection, until it breaks for good.
    async fn listen(&mut self, database: &Dependency) -> Result<Option<SchedulePolicy>, Trouble> {
        let app = self.app;
        let mut ear = app.store.listen(&[Channel::Outbox, Channel::Registry]).await?;
        if let Some(changed) = self.renew().await? {
            return Ok(Some(changed));
        }
        let events = Notify::new();
        events.notify_one();
        let merging = merging(app, &events);
        tokio::pin!(merging);
        database.set(true);
        tracing::info!(servers = self.at.len(), "following");
        loop {
            let heard = tokio::select! {
                () = app.stop.cancelled() => return Ok(None),
                trouble = &mut merging => return Err(trouble),
                Some(ended) = self.running.next() => {
                    self.at.remove(&ended);
                    self.renew().await?;
                    continue;
                }
                heard = ear.hear() => heard?,
                () = tokio::time::sleep(SWEEP) => None,
            };
            match heard {
                Some(Channel::Outbox) => self.wake(),
                // A change may have been missed, or none was for a while.
                Some(Channel::Registry) | None => {
                    if let Some(changed) = self.renew().await? {
                        return Ok(Some(changed));
                    }
                    if heard.is_none() {
                        events.notify_one();
                        self.wake();
                    }
                }
            }
        }
    }

    fn wake(&self) {
        for handle in self.at.values() {
            handle.wake.notify_one();
        }
    }

    /// Makes the lanes fit the registry. A lane whose server has changed ends after what it is doing, and begins anew. Answers the schedule's policy if that
    /// has changed.
    async fn renew(&mut self) -> Result<Option<SchedulePolicy>, Trouble> {
        let app = self.app;
        let mut connection = app.store.acquire().await?;
        let schedules = registry::schedules(&mut connection).await?;
        drop(connection);
        let policy = app::policy_of(schedules, app.schedule.as_deref());
        if policy != app.policy {
            return Ok(Some(policy));
        }
        let selected = if policy.dry_run {
            tracing::warn!("policy.dryRun is on: nothing is written");
            Vec::new()
        } else {
            contact::select(app, &self.args.selection).await.unwrap_or_else(|error| {
                tracing::warn!("nothing to follow yet: {error:#}");
                Vec::new()
            })
        };
        let wanted: HashMap<i64, (Server, Vec<Account>)> =
            selected.into_iter().map(|(server, accounts)| (server.id, (server, accounts))).collect();
        for (id, handle) in &self.at {
            let same = wanted.get(id).is_some_and(|(server, accounts)| {
                (&server.name, &server.url, &server.policy, server.kind)
                    == (&handle.server.name, &handle.server.url, &handle.server.policy, handle.server.kind)
                    && whom(accounts) == whom(&handle.accounts)
            });
            if !same {
                handle.stop.cancel();
            }
        }
        for (id, (server, accounts)) in wanted {
            if self.at.contains_key(&id) {
                continue;
            }
            let (wake, stop) = (Arc::new(Notify::new()), CancellationToken::new());
            let work = Work {
                app,
                job: self.job,
                server: server.clone(),
                accounts: accounts.clone(),
                contact: None,
                shift: None,
            };
            self.running.push(work.run(Arc::clone(&wake), stop.clone()).map(move |()| id).boxed());
            self.at.insert(id, Handle { server, accounts, wake, stop });
        }
        Ok(None)
    }

    /// Lets the lanes go on while something else is waited for.
    async fn run_until(&mut self, end: impl Future<Output = ()>) {
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return,
                () = self.app.stop.cancelled() => return,
                Some(ended) = self.running.next() => {
                    self.at.remove(&ended);
                }
            }
        }
    }

    /// Lets every lane finish what it is doing.
    async fn end(&mut self) {
        for handle in self.at.values() {
            handle.stop.cancel();
        }
        while self.running.next().await.is_some() {}
    }
}

/// Merges the events that a receiver left, whenever it is told to look, until the database fails.
async fn merging(app: &App, events: &Notify) -> Trouble {
    loop {
        events.notified().await;
        if let Err(trouble) = events::merge(app).await {
            return trouble;
        }
    }
}

/// What makes accounts the same as before.
fn whom(accounts: &[Account]) -> Vec<(i64, i64, &str)> {
    accounts.iter().map(|account| (account.id, account.person_id, account.configured.as_str())).collect()
}

/// Waits between tries, without end: from a second to five minutes.
fn patience() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_secs(1))
        .with_max_delay(Duration::from_mins(5))
        .with_factor(2.0)
        .with_jitter()
        .without_max_times()
        .build()
}

/// One server's lane.
struct Work<'a> {
    app: &'a App,
    job: Uuid,
    server: Server,
    accounts: Vec<Account>,
    contact: Option<(Contact, Timestamp)>,
    shift: Option<Shift>,
}

/// The row of `run` that tells of the lane's work for a while.
struct Shift {
    run_id: i64,
    began: Timestamp,
    counts: push::Counts,
}

/// What came of a turn.
enum Turn {
    /// All that was due was done.
    Done,
    /// Another worker is at it.
    Busy,
}

impl Work<'_> {
    async fn run(mut self, wake: Arc<Notify>, stop: CancellationToken) {
        let app = self.app;
        let mut waits = patience();
        let mut not_before = app.clock.now();
        while !stop.is_cancelled() && !app.stop.is_cancelled() {
            let now = app.clock.now();
            let wait = match self.due().await {
                Ok(Some(due)) if due.max(not_before) <= now => match self.turn().await {
                    Ok(Turn::Done) => {
                        waits = patience();
                        continue;
                    }
                    Ok(Turn::Busy) => BUSY,
                    Err(trouble) => {
                        let wait = waits.next().unwrap_or(SWEEP);
                        tracing::warn!(server = self.server.name, ?wait, "left alone for a while: {}", trouble.message);
                        self.contact = None;
                        not_before = now.checked_add(wait).unwrap_or(now);
                        wait
                    }
                },
                Ok(due) => due.map_or(SWEEP, |due| until(due.max(not_before), now)).min(SWEEP),
                Err(trouble) => {
                    tracing::warn!(server = self.server.name, "the outbox can't be read: {}", trouble.message);
                    waits.next().unwrap_or(SWEEP)
                }
            };
            tokio::select! {
                () = app.stop.cancelled() => {}
                () = stop.cancelled() => {}
                () = wake.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// When something is to be done next. Of accounts that weren't found nothing can be written before the server is asked for them again.
    async fn due(&self) -> Result<Option<Timestamp>, Trouble> {
        let mut connection = self.app.store.acquire().await?;
        let lookup = inbox::next_lookup(&mut connection, self.server.id).await?;
        if !self.server.policy.export {
            return Ok(lookup);
        }
        let there = |id: i64| {
            self.contact.as_ref().is_none_or(|(contact, _)| contact.accounts.iter().any(|(found, _)| found.id == id))
        };
        let (found, missing): (Vec<i64>, Vec<i64>) =
            self.accounts.iter().map(|account| account.id).partition(|id| there(*id));
        let write = outbox::next_due(&mut connection, &found).await?;
        let mut later = None;
        if let Some((_, since)) = self.contact.as_ref().filter(|_| !missing.is_empty()) {
            let anew = since.saturating_add(CONTACT).unwrap_or(*since);
            later = outbox::next_due(&mut connection, &missing).await?.map(|due| due.max(anew));
        }
        Ok([write, later, lookup].into_iter().flatten().min())
    }

    async fn turn(&mut self) -> Result<Turn, Trouble> {
        let Some(mut lane) = self.app.store.try_lock(Lane::Write, self.server.id).await? else {
            return Ok(Turn::Busy);
        };
        let worked = self.work(lane.connection()).await;
        lane.release().await.ok();
        worked.map(|()| Turn::Done)
    }

    async fn work(&mut self, connection: &mut Connection) -> Result<(), Trouble> {
        let app = self.app;
        let now = app.clock.now();
        let stale = self.contact.as_ref().is_none_or(|(_, since)| now.duration_since(*since) >= CONTACT);
        if stale {
            let contact = contact::reach(app, &self.server, &self.accounts, connection).await?;
            for trouble in &contact.missing {
                tracing::warn!("{}", trouble.message);
            }
            self.contact = Some((contact, now));
        }
        let run_id = self.shift(connection).await?;
        let Some((contact, _)) = &self.contact else { return Ok(()) };
        let looked_up = events::look_up(app, contact, connection).await;
        if !self.server.policy.export {
            return looked_up.map(drop);
        }
        let mut outcome = push::server(app, contact, run_id, false, connection).await;
        outcome.troubles.extend(looked_up.err());
        let trouble = outcome.troubles.iter().skip(contact.missing.len()).next_back().cloned();
        if let Some(shift) = &mut self.shift {
            shift.counts.add(&outcome.counts);
            let counts = serde_json::to_value(&shift.counts).unwrap_or_default();
            let errors = outcome.errors();
            let error = (!errors.is_empty()).then(|| errors.join("; "));
            let word = outcome.exit().as_str();
            runs::finish(connection, shift.run_id, word, &counts, error.as_deref(), app.clock.now()).await?;
        }
        trouble.map_or(Ok(()), Err)
    }

    /// The run that the work is noted in.
    async fn shift(&mut self, connection: &mut Connection) -> Result<i64, Trouble> {
        let now = self.app.clock.now();
        if let Some(shift) = self.shift.as_ref().filter(|shift| now.duration_since(shift.began) < SHIFT) {
            return Ok(shift.run_id);
        }
        let started = Started {
            job: self.job,
            verb: metrics::Verb::Push.as_str(),
            server_id: self.server.id,
            schedule: self.app.schedule.as_deref(),
            dry_run: false,
        };
        let run_id = runs::start(connection, &started, now).await?;
        self.shift = Some(Shift { run_id, began: now, counts: push::Counts::default() });
        Ok(run_id)
    }
}

/// How long until then; none if it is past.
fn until(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or_default()
}

/// Brings the gauges up to date that are read from the database.
fn refresh(store: Arc<OnceLock<Store>>, metrics: Arc<Metrics>) -> Refresh {
    Arc::new(move || {
        let (store, metrics) = (store.get().cloned(), metrics.clone());
        Box::pin(async move {
            let Some(store) = store else { return };
            if let Err(error) = gauges(&store, &metrics).await {
                tracing::warn!("gauges couldn't be read: {}", watchstate_runtime::redact::chain(&error));
            }
        })
    })
}

#[expect(clippy::cast_precision_loss, reason = "gauges")]
async fn gauges(store: &Store, metrics: &Metrics) -> watchstate_store::Result<()> {
    let mut connection = store.acquire().await?;
    let accounts = registry::accounts(&mut connection).await?;
    for server in registry::servers(&mut connection).await? {
        let (mut pending, mut dead) = (0, 0);
        for account in accounts.iter().filter(|account| account.server_id == server.id) {
            let depth = outbox::depth(&mut connection, account.id).await?;
            pending += depth.0;
            dead += depth.1;
        }
        let name = ServerName::configured(&server.name);
        for (state, depth) in [(OutboxState::Pending, pending), (OutboxState::Dead, dead)] {
            metrics.outbox_writes.set(&metrics::Outbox { server: name.clone(), state }, depth as f64);
        }
        let held = plans::list(&mut connection, false, None).await?;
        let held = held.iter().filter(|plan| plan.server == server.name).count();
        metrics.held_plans.set(&metrics::Server { server: name }, held as f64);
    }
    Ok(())
}
