//! The verbs over several servers: locks, runs, one server's trouble kept from the others, the summary and the exit code.

use anyhow::{Context, Result};
use futures::future::join_all;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;
use watchstate_runtime::Exit;
use watchstate_runtime::metrics::{self, OutboxState, RunOutcome, ServerName, Verb};
use watchstate_store::locks::{Held, Lane};
use watchstate_store::registry::{self, Account, Server};
use watchstate_store::runs::{self, Started};
use watchstate_store::{Connection, StoreError, inbox, outbox, plans};

use crate::app::App;
use crate::args::{ExportArgs, ImportArgs, PushArgs};
use crate::contact::{self, Contact, Trouble};
use crate::events;
use crate::export;
use crate::import::{self, Options};
use crate::output;
use crate::push;

mod summary;

use summary::{Asked, Left, Report, Summary, concise, sheets};

/// After so many new items the planner of the database is told: until it knows, exports take several times as long.
const MANY_NEW: u64 = 1_000;

/// One process's work.
struct Job<'a> {
    app: &'a App,
    id: Uuid,
    dry_run: bool,
    /// The SyncSchedule that makes it a dry run, where the command line doesn't.
    dry_by: Option<String>,
    /// Whether un-plays that the brake would hold are let through.
    force: bool,
    /// Whether a server at which another worker is gets waited for.
    wait: bool,
}

type Selected = Vec<(Server, Vec<Account>)>;

/// `import`.
pub async fn import(app: &App, args: &ImportArgs) -> Result<Exit> {
    let job = Job::reading(app, args);
    let servers = contact::select(app, &args.selection).await?;
    let reports = if job.dry_run {
        job.dry(&servers, Some(args.into()), None).await?
    } else {
        job.read_all(&servers, args).await.into_iter().map(|(report, _)| report).collect()
    };
    job.finish(reports).await
}

/// `export`.
pub async fn export(app: &App, args: &ExportArgs) -> Result<Exit> {
    let job = Job::new(app, args.dry_run, args.wait);
    let servers = contact::select(app, &args.selection).await?;
    let reports = if job.dry_run {
        job.dry(&servers, None, Some((Verb::Export, args.force))).await?
    } else {
        job.merge_events().await;
        join_all(servers.iter().map(|(server, accounts)| job.write(Verb::Export, server, accounts, None, args.force)))
            .await
    };
    job.finish(reports).await
}

/// `push`.
pub async fn push(app: &App, args: &PushArgs) -> Result<Exit> {
    let job = Job::new(app, args.dry_run, args.wait);
    let servers = contact::select(app, &args.selection).await?;
    let reports = if job.dry_run {
        job.dry(&servers, None, Some((Verb::Push, args.force))).await?
    } else {
        job.merge_events().await;
        join_all(servers.iter().map(|(server, accounts)| job.write(Verb::Push, server, accounts, None, args.force)))
            .await
    };
    job.finish(reports).await
}

/// `sync`: every server is read before the first is written.
pub async fn sync(app: &App, args: &ImportArgs) -> Result<Exit> {
    let job = Job::reading(app, args);
    let servers = contact::select(app, &args.selection).await?;
    if job.dry_run {
        let reports = job.dry(&servers, Some(args.into()), Some((Verb::Export, args.force))).await?;
        return job.finish(reports).await;
    }
    job.merge_events().await;
    let read = job.read_all(&servers, args).await;
    let written = join_all(servers.iter().zip(&read).map(|((server, accounts), (report, contact))| async {
        // A server that just refused us would refuse again; what it should be told waits for the next time.
        let refused = contact.is_none() && !report.errors.is_empty();
        if refused || app.stop.is_cancelled() {
            return None;
        }
        Some(job.write(Verb::Export, known(server, contact.as_ref()), accounts, contact.as_ref(), args.force).await)
    }))
    .await;
    let reports = read.into_iter().map(|(report, _)| report).chain(written.into_iter().flatten()).collect();
    job.finish(reports).await
}

impl From<&ImportArgs> for Options {
    fn from(args: &ImportArgs) -> Self {
        Self { full: args.full, force: args.force, metadata_only: args.metadata_only }
    }
}

impl<'a> Job<'a> {
    fn new(app: &'a App, dry_run: bool, wait: bool) -> Self {
        let dry_by = app.schedule.clone().filter(|_| app.policy.dry_run && !dry_run);
        Self { app, id: Uuid::new_v4(), dry_run: dry_run || app.policy.dry_run, dry_by, force: false, wait }
    }

    /// A job that reads.
    fn reading(app: &'a App, args: &ImportArgs) -> Self {
        Self { force: args.force, ..Self::new(app, args.dry_run, args.wait) }
    }

    /// Takes a server's lane; None when another worker has it and isn't waited for.
    async fn lane(&self, lane: Lane, server: &Server) -> Result<Option<Held>, Trouble> {
        let held = self.app.store.try_lock(lane, server.id).await?;
        if held.is_none() && self.wait {
            tracing::info!(server = server.name, ?lane, "another worker is at it: waiting");
            return contact::unless_stopped(self.app, self.app.store.lock(lane, server.id)).await.map(Some);
        }
        if held.is_none() {
            tracing::warn!(server = server.name, ?lane, "another worker is at it: nothing to do");
        }
        Ok(held)
    }

    async fn start(&self, verb: Verb, server: &Server, connection: &mut Connection) -> Result<i64, Trouble> {
        let started = Started {
            job: self.id,
            verb: verb.as_str(),
            server_id: server.id,
            schedule: self.app.schedule.as_deref(),
            dry_run: self.dry_run,
        };
        Ok(runs::start(connection, &started, self.app.clock.now()).await?)
    }

    async fn end<T: Serialize>(&self, run_id: i64, report: &Report, counts: &T, connection: &mut Connection) {
        let counts = serde_json::to_value(counts).unwrap_or_default();
        let error = (!report.errors.is_empty()).then(|| report.errors.join("; "));
        let now = self.app.clock.now();
        if let Err(error) = runs::finish(connection, run_id, &report.outcome, &counts, error.as_deref(), now).await {
            tracing::error!(
                server = report.server,
                "the run's end couldn't be noted: {}",
                watchstate_runtime::redact::chain(&error)
            );
        }
    }

    /// Reads all servers at the same time.
    async fn read_all(&self, servers: &Selected, args: &ImportArgs) -> Vec<(Report, Option<Contact>)> {
        let read = join_all(servers.iter().map(|(server, accounts)| self.import(server, accounts, args.into()))).await;
        let new: u64 = read.iter().filter_map(|(report, _)| report.read.as_ref()).map(|counts| counts.new).sum();
        if new >= MANY_NEW
            && let Err(error) = self.app.store.analyze().await
        {
            tracing::debug!("statistics are left to Postgres: {error}");
        }
        read
    }

    #[tracing::instrument(name = "import", skip_all, fields(server = server.name))]
    async fn import(&self, server: &Server, accounts: &[Account], options: Options) -> (Report, Option<Contact>) {
        let report = Report::new(server, Verb::Import);
        if !server.policy.import && !server.policy.export {
            return (report.ended(Exit::Done), None);
        }
        let mut lane = match self.lane(Lane::Import, server).await {
            Ok(Some(lane)) => lane,
            Ok(None) => return (report.busy(), None),
            Err(trouble) => return (report.failed(&trouble), None),
        };
        let guard = self.app.metrics.run(Verb::Import);
        let connection = lane.connection();
        let run_id = match self.start(Verb::Import, server, connection).await {
            Ok(run_id) => run_id,
            Err(trouble) => return (report.failed(&trouble), None),
        };
        let (report, contact) = self.read(server, accounts, run_id, options, connection).await;
        self.end(run_id, &report, &report.read, connection).await;
        guard.finish(RunOutcome::from(report.exit));
        lane.release().await.ok();
        (report, contact)
    }

    async fn read(
        &self,
        server: &Server,
        accounts: &[Account],
        run_id: i64,
        options: Options,
        connection: &mut Connection,
    ) -> (Report, Option<Contact>) {
        let mut report = Report::new(server, Verb::Import);
        let contact = match contact::reach(self.app, server, accounts, connection).await {
            Ok(contact) => contact,
            Err(trouble) => return (report.failed(&trouble), None),
        };
        let outcome = import::server(self.app, &contact, run_id, options, connection).await;
        let exit = outcome.exit();
        for trouble in &outcome.troubles {
            report.note(&trouble.message);
        }
        if outcome.interrupted {
            report.errors.push("told to end before it was through; what was read is stored".to_owned());
        }
        let counts = serde_json::to_value(&outcome.counts).unwrap_or_default();
        let count = |name: &str| counts.get(name).and_then(Value::as_u64).unwrap_or_default();
        self.app.metrics.observe_reading(&ServerName::configured(&server.name), count);
        report.read = Some(outcome.counts);
        (report.ended(exit), Some(contact))
    }

    /// Merges events that a receiver left: what they tell is to be written as well.
    async fn merge_events(&self) {
        if let Err(trouble) = events::merge(self.app).await {
            tracing::error!("events couldn't be merged, the next run tries again: {}", trouble.message);
        }
    }

    /// Queues what differs (`export` only) and drains the outbox. The server is asked only when there is something to write.
    #[tracing::instrument(name = "write", skip_all, fields(server = server.name, verb = verb.as_str()))]
    async fn write(
        &self,
        verb: Verb,
        server: &Server,
        accounts: &[Account],
        contact: Option<&Contact>,
        force: bool,
    ) -> Report {
        let report = Report::new(server, verb);
        if !server.policy.export {
            match self.waiting(server).await {
                Ok(true) => {}
                Ok(false) => return report.ended(Exit::Done),
                Err(trouble) => return report.failed(&trouble),
            }
        }
        let mut lane = match self.lane(Lane::Write, server).await {
            Ok(Some(lane)) => lane,
            Ok(None) => return report.busy(),
            Err(trouble) => return report.failed(&trouble),
        };
        let guard = self.app.metrics.run(verb);
        let connection = lane.connection();
        let run_id = match self.start(verb, server, connection).await {
            Ok(run_id) => run_id,
            Err(trouble) => return report.failed(&trouble),
        };
        let report = match self.drain(verb, server, accounts, contact, force, run_id, connection).await {
            Ok(report) => report,
            Err(trouble) => report.failed(&trouble),
        };
        self.end(run_id, &report, &report.written, connection).await;
        guard.finish(RunOutcome::from(report.exit));
        lane.release().await.ok();
        report
    }

    /// True where events wait for what only the server can tell.
    async fn has_lookups(&self, server: &Server, connection: &mut Connection) -> Result<bool, Trouble> {
        let next = inbox::next_lookup(connection, server.id).await?;
        Ok(next.is_some_and(|due| due <= self.app.clock.now()))
    }

    /// The same, before there is a lane.
    async fn waiting(&self, server: &Server) -> Result<bool, Trouble> {
        let mut connection = self.app.store.acquire().await?;
        self.has_lookups(server, &mut connection).await
    }

    #[expect(clippy::too_many_arguments, reason = "the body of `write`")]
    async fn drain(
        &self,
        verb: Verb,
        server: &Server,
        accounts: &[Account],
        contact: Option<&Contact>,
        force: bool,
        run_id: i64,
        connection: &mut Connection,
    ) -> Result<Report, Trouble> {
        let mut report = Report::new(server, verb);
        let mut counts = push::Counts::default();
        let exports = server.policy.export;
        if verb == Verb::Export && exports {
            for account in accounts {
                counts.queued += export::queue(self.app, server, account, Some(run_id), connection).await?;
            }
        }
        let (pending, dead) = depth(accounts, connection).await?;
        if self.has_lookups(server, connection).await? || (exports && pending + if force { dead } else { 0 } > 0) {
            let own;
            let contact = if let Some(contact) = contact {
                contact
            } else {
                own = contact::reach(self.app, server, accounts, connection).await?;
                &own
            };
            if let Err(trouble) = events::look_up(self.app, contact, connection).await {
                report.note(&trouble.message);
                report.exit = trouble.exit;
            }
            if exports {
                let outcome = push::server(self.app, contact, run_id, force, connection).await;
                report.exit = report.exit.combine(outcome.exit());
                for error in outcome.errors() {
                    report.note(&error);
                }
                counts.add(&outcome.counts);
            }
        }
        let (pending, dead) = depth(accounts, connection).await?;
        let name = ServerName::configured(&server.name);
        for (state, depth) in [(OutboxState::Pending, pending), (OutboxState::Dead, dead)] {
            #[expect(clippy::cast_precision_loss, reason = "a gauge")]
            self.app.metrics.outbox_writes.set(&metrics::Outbox { server: name.clone(), state }, depth as f64);
        }
        if pending + dead > 0 {
            let ids: Vec<i64> = accounts.iter().map(|account| account.id).collect();
            let next_try_at = outbox::next_due(connection, &ids).await?;
            report.left = Some(Left { waiting: pending, next_try_at, given_up: dead });
        }
        report.written = Some(counts);
        let exit = report.exit;
        Ok(report.ended(exit))
    }

    /// Reads, queues and looks at what is due in one transaction that is taken back: what would be read, decided and written, and nothing stays.
    /// `write`: `export` or `push`, and whether failed writes are tried again at once.
    async fn dry(
        &self,
        servers: &Selected,
        import: Option<Options>,
        write: Option<(Verb, bool)>,
    ) -> Result<Vec<Report>> {
        let mut transaction = self.app.store.begin().await?;
        let mut reports = Vec::new();
        let mut reached = Vec::new();
        if let Some(options) = import {
            for (server, accounts) in servers.iter().filter(|(server, _)| server.policy.import || server.policy.export)
            {
                let (report, contact) = match self.start(Verb::Import, server, &mut transaction).await {
                    Ok(run_id) => self.read(server, accounts, run_id, options, &mut transaction).await,
                    Err(trouble) => (Report::new(server, Verb::Import).failed(&trouble), None),
                };
                if let Some(contact) = contact {
                    reached.push((contact.server, accounts));
                }
                reports.push(report);
            }
        }
        if let Some((verb, force)) = write {
            if import.is_none() {
                reached = servers.iter().map(|(server, accounts)| (server.clone(), accounts)).collect();
            }
            for (server, accounts) in reached.iter().filter(|(server, _)| server.policy.export) {
                let mut report = Report::new(server, verb).ended(Exit::Done);
                let mut planned = Vec::new();
                for account in *accounts {
                    match export::preview(self.app, server, account, verb == Verb::Export, force, &mut transaction)
                        .await
                    {
                        Ok(more) => planned.extend(more),
                        Err(trouble) => report = report.failed(&trouble),
                    }
                }
                report.planned = Some(planned);
                reports.push(report);
            }
        }
        transaction.rollback().await?;
        Ok(reports)
    }

    async fn finish(&self, reports: Vec<Report>) -> Result<Exit> {
        let exit: Exit = reports.iter().map(|report| report.exit).collect();
        // What was done is told even if the database can't be asked any more.
        let (held_plans, twins) = self.besides().await.unwrap_or_else(|error| {
            tracing::warn!("whether plans wait isn't known: {}", watchstate_runtime::redact::chain(&error));
            Default::default()
        });
        let summary = Summary {
            job: self.id,
            exit_code: exit.code(),
            outcome: exit.as_str().to_owned(),
            servers: reports,
            held_plans,
            twins,
            asked: Asked { dry_run: self.dry_run, dry_by: self.dry_by.clone(), force: self.force },
        };
        // First what people see: the work is done, wherever its summary can't go.
        output::print(self.app.format, &summary, sheets)?;
        if let Some(file) = &self.app.summary_file {
            std::fs::write(file, concise(&summary)?)
                .with_context(|| format!("the summary can't be written to {}", file.display()))?;
        }
        Ok(exit)
    }

    /// What a person should know besides what was done: the plans that wait for a decision, and names that stand for one server.
    async fn besides(&self) -> Result<(Vec<i64>, Vec<String>), StoreError> {
        let mut connection = self.app.store.acquire().await?;
        let held = plans::list(&mut connection, false, None).await?;
        let servers = registry::servers(&mut connection).await?;
        let twins = contact::twins(servers.iter().map(|server| (server.name.as_str(), server.remote_id.as_deref())));
        Ok((held.into_iter().map(|plan| plan.id).collect(), twins))
    }
}

/// The server with its clock as it was just measured.
fn known<'a>(server: &'a Server, contact: Option<&'a Contact>) -> &'a Server {
    contact.map_or(server, |contact| &contact.server)
}

/// Pending and dead entries of several accounts.
async fn depth(accounts: &[Account], connection: &mut Connection) -> Result<(u64, u64), Trouble> {
    let mut sum = (0, 0);
    for account in accounts {
        let (pending, dead) = outbox::depth(connection, account.id).await?;
        sum = (sum.0 + pending, sum.1 + dead);
    }
    Ok(sum)
}
