//! What runs came to, read from the `run` table: for the status of schedules, and as metrics, since a Job is gone before anybody scrapes it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use watchstate_crds::sync_schedule::{Outcome, RunCounts, Verb};
use watchstate_runtime::metrics::{self, Metrics, OutboxState, RunOutcome, ServerName};
use watchstate_runtime::redact;
use watchstate_store::plans::Plan;
use watchstate_store::registry::SchedulePolicy;
use watchstate_store::runs::Run;
use watchstate_store::{Connection, Store, StoreError, outbox, plans, registry, runs};

use crate::context::Context;
use crate::database::PATIENCE;

/// The last run of a verb that has ended: what one process did at all of its servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Last {
    /// Its number, as `watchstate-worker runs` lists it; the highest where it was at several servers.
    pub id: i64,
    /// How it ended.
    pub outcome: Outcome,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// When a run of this verb last ended well at a server.
    pub succeeded_at: Option<Timestamp>,
    /// What it counted.
    pub counts: RunCounts,
    /// What went wrong, one server after the other. Holds no secret: the worker redacts what it stores.
    pub message: Option<String>,
}

/// A run that the brake holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The run: what the annotation `watchstate.dev/approve` names.
    pub run: i64,
    /// Its plans, one an account: what `watchstate-worker held approve` takes.
    pub plans: Vec<i64>,
    /// What the run does. What events brought counts as imported.
    pub verb: Verb,
    /// How many titles it would mark unplayed.
    pub titles: i64,
    /// Since when.
    pub since: Timestamp,
    /// Whose titles, in words.
    pub message: String,
}

/// The last run of each verb of a schedule.
pub async fn of_schedule(connection: &mut Connection, schedule: &str) -> Result<BTreeMap<Verb, Last>, StoreError> {
    let latest = runs::latest(connection, schedule).await?;
    let successes = runs::successes(connection, Some(schedule)).await?;
    Ok(summary(&latest, &successes))
}

/// The runs that wait for approval under a schedule: its own, and what events brought of servers that it is the first to take in.
pub async fn held_under(connection: &mut Connection, schedule: &str) -> Result<Vec<Held>, StoreError> {
    let waiting = plans::list(connection, false, None).await?;
    // Only for what events brought the other schedules matter.
    let others = waiting.iter().any(|plan| plan.schedule.is_none());
    let schedules = if others { registry::schedules(connection).await? } else { Vec::new() };
    Ok(grouped(waiting.iter().filter(|plan| is_under(plan, schedule, &schedules))))
}

fn is_under(plan: &Plan, schedule: &str, schedules: &[(String, SchedulePolicy)]) -> bool {
    match &plan.schedule {
        Some(own) => own == schedule,
        None => schedules
            .iter()
            .find(|(_, policy)| policy.servers.is_empty() || policy.servers.contains(&plan.server))
            .is_some_and(|(first, _)| first == schedule),
    }
}

fn summary(runs: &[Run], successes: &[(String, Timestamp)]) -> BTreeMap<Verb, Last> {
    Verb::ALL
        .into_iter()
        .filter_map(|verb| {
            let own: Vec<&Run> = runs.iter().filter(|run| run.verb == verb.command()).collect();
            let succeeded = successes.iter().find(|(word, _)| word == verb.command()).map(|(_, at)| *at);
            Some((verb, last(&own, succeeded)?))
        })
        .collect()
}

/// The runs of one process as one. None: there are none, or it goes on.
fn last(runs: &[&Run], succeeded_at: Option<Timestamp>) -> Option<Last> {
    let ended: Vec<(&Run, Timestamp)> = runs.iter().filter_map(|run| Some((*run, run.finished_at?))).collect();
    if ended.len() < runs.len() {
        return None;
    }
    let (first, last) = (runs.iter().map(|run| run.started_at).min()?, ended.iter().map(|(_, at)| *at).max()?);
    let problems: Vec<String> = runs
        .iter()
        .filter_map(|run| {
            let server = run.server.as_deref().unwrap_or("a server that is gone");
            run.error.as_ref().map(|error| format!("{server}: {error}"))
        })
        .collect();
    Some(Last {
        id: runs.iter().map(|run| run.id).max()?,
        outcome: together(runs.iter().map(|run| of_word(run.outcome.as_deref()))),
        started_at: first,
        finished_at: last,
        succeeded_at,
        counts: runs.iter().fold(RunCounts::default(), |sum, run| add(sum, run)),
        message: (!problems.is_empty()).then(|| problems.join("; ")),
    })
}

fn of_word(word: Option<&str>) -> Outcome {
    match word {
        // Another worker was at it: it did the work.
        Some("done" | "busy") => Outcome::Succeeded,
        Some("held") => Outcome::Held,
        _ => Outcome::Failed,
    }
}

/// A failure is told before a held plan, which is told by the condition Held as well.
fn together(outcomes: impl Iterator<Item = Outcome>) -> Outcome {
    let all: Vec<Outcome> = outcomes.collect();
    let has = |outcome| all.contains(&outcome);
    match (has(Outcome::Failed), has(Outcome::Succeeded), has(Outcome::Held)) {
        (true, false, false) => Outcome::Failed,
        (true, _, _) => Outcome::PartlyFailed,
        (false, _, true) => Outcome::Held,
        (false, _, false) => Outcome::Succeeded,
    }
}

fn add(sum: RunCounts, run: &Run) -> RunCounts {
    let count = |name: &str| run.counts.get(name).and_then(serde_json::Value::as_i64).unwrap_or_default();
    RunCounts {
        read: sum.read + count("read"),
        changed: sum.changed + count("changed"),
        written: sum.written + count("written"),
        failed: sum.failed + count("failed") + count("dead"),
        held: sum.held + count("held"),
    }
}

fn grouped<'p>(plans: impl Iterator<Item = &'p Plan>) -> Vec<Held> {
    let mut held: BTreeMap<i64, Held> = BTreeMap::new();
    for plan in plans {
        let words = format!("{} at {}: {} of {} played titles", plan.person, plan.server, plan.unplays, plan.played);
        let verb = Verb::ALL.into_iter().find(|verb| verb.command() == plan.verb).unwrap_or(Verb::Import);
        held.entry(plan.run)
            .and_modify(|held| {
                held.plans.push(plan.id);
                held.titles += plan.unplays;
                held.since = held.since.min(plan.created_at);
                held.message = format!("{}; {words}", held.message);
            })
            .or_insert_with(|| Held {
                run: plan.run,
                plans: vec![plan.id],
                verb,
                titles: plan.unplays,
                since: plan.created_at,
                message: words.clone(),
            });
    }
    held.into_values().collect()
}

/// How often runs that ended are counted.
const EVERY: Duration = Duration::from_secs(15);
/// Workers write down the end by their own clocks, and a commit takes a moment: so far is looked back.
const OVERLAP: SignedDuration = SignedDuration::from_mins(1);
/// So many rows at a time.
const BATCH: i64 = 1_000;

/// Exports what runs came to, until `stop`. What ended before is not counted: it was, or nobody was there to.
pub async fn export(context: &Context, stop: &CancellationToken) {
    let mut ended = Ended { since: context.clock.now(), counted: BTreeMap::new() };
    loop {
        let counting = async |store: Store| {
            let mut connection = store.acquire().await?;
            count(&mut connection, &mut ended, &context.metrics).await
        };
        if let Err(error) = context.database.ask(PATIENCE, counting).await {
            tracing::debug!("runs are counted later: {}", redact::chain(&error));
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// What was counted already.
#[derive(Debug)]
struct Ended {
    since: Timestamp,
    /// Runs that will be read again, by number.
    counted: BTreeMap<i64, Timestamp>,
}

impl Ended {
    /// Those that were not counted yet; from now on they are.
    fn new_ones(&mut self, runs: Vec<Run>) -> Vec<Run> {
        let full = runs.len() >= usize::try_from(BATCH).unwrap_or(usize::MAX);
        let new: Vec<Run> = runs.into_iter().filter(|run| !self.counted.contains_key(&run.id)).collect();
        self.counted.extend(new.iter().filter_map(|run| Some((run.id, run.finished_at?))));
        if let Some(latest) = self.counted.values().max() {
            // A full batch has more behind it: to look back would be to read it for ever.
            let from = if full { Some(*latest) } else { latest.checked_sub(OVERLAP).ok() };
            self.since = self.since.max(from.unwrap_or(self.since));
        }
        self.counted.retain(|_, at| *at >= self.since);
        new
    }
}

async fn count(connection: &mut Connection, ended: &mut Ended, metrics: &Metrics) -> Result<(), StoreError> {
    for run in ended.new_ones(runs::ended_since(connection, ended.since, BATCH).await?) {
        let (Some(verb), Some(at)) = (metrics::Verb::named(&run.verb), run.finished_at) else { continue };
        let outcome = run.outcome.as_deref().map_or(RunOutcome::Abandoned, |word| {
            if word == "busy" { RunOutcome::Skipped } else { RunOutcome::named(word).unwrap_or(RunOutcome::TryAgain) }
        });
        let took = Duration::try_from(at.duration_since(run.started_at)).unwrap_or_default();
        metrics.observe_run(verb, outcome, took);
        if let (metrics::Verb::Import, Some(server), false) = (verb, &run.server, run.dry_run) {
            let count = |name: &str| run.counts.get(name).and_then(Value::as_u64).unwrap_or_default();
            metrics.observe_reading(&ServerName::configured(server), count);
        }
    }
    for (verb, at) in runs::successes(connection, None).await? {
        if let Some(verb) = metrics::Verb::named(&verb) {
            metrics.succeeded(verb, at);
        }
    }
    gauges(connection, metrics).await
}

/// What waits, by server.
async fn gauges(connection: &mut Connection, metrics: &Metrics) -> Result<(), StoreError> {
    let depths = outbox::depths(connection).await?;
    let waiting = plans::list(connection, false, None).await?;
    let servers = registry::servers(connection).await?;
    // Those of servers that are gone go.
    metrics.outbox_writes.clear();
    metrics.held_plans.clear();
    metrics.server_clock_offset_seconds.clear();
    for server in &servers {
        metrics.expect_conflicts(&ServerName::configured(&server.name));
    }
    for server in servers.iter().filter(|server| server.contacted_at.is_some()) {
        let label = metrics::Server { server: ServerName::configured(&server.name) };
        metrics.server_clock_offset_seconds.set(&label, server.clock_offset.seconds());
    }
    for (server, pending, dead) in depths {
        let held = waiting.iter().filter(|plan| plan.server == server).count();
        let server = ServerName::configured(&server);
        for (state, depth) in [(OutboxState::Pending, pending), (OutboxState::Dead, dead)] {
            metrics.outbox_writes.set(&metrics::Outbox { server: server.clone(), state }, number(depth));
        }
        metrics.held_plans.set(&metrics::Server { server }, number(held as u64));
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a gauge")]
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
