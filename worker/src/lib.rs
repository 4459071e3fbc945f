//! The worker: what every CronJob runs, and what a person runs by hand.
//!
//! The way of the data: [`apply`] (documents → registry) · [`contact`] (registry → servers that answered) · [`import`] (pages → merged
//! states) · [`export`] (differences → outbox) · [`push`] (outbox → servers) · [`events`] (webhooks' events, looked up) · [`follow`] (push, as a process that stays) · [`command`] (what people ask). [`job`] runs the verbs over several
//! servers and sums up.

pub mod app;
pub mod apply;
pub mod args;
pub mod command;
pub mod contact;
pub mod events;
pub mod export;
pub mod follow;
pub mod import;
pub mod job;
pub mod output;
pub mod progress;
pub mod push;
pub mod secrets;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio_util::sync::CancellationToken;
use watchstate_runtime::clock::Clock;
use watchstate_runtime::metrics::Metrics;
use watchstate_runtime::{Exit, TelemetryError};
use watchstate_store::StoreError;

use crate::app::{App, Opening};
use crate::args::{Cli, Verb};
use crate::progress::Progress;

/// How long work may take to drain after the first SIGTERM.
pub const GRACE: Duration = Duration::from_secs(20);

/// A mistake in options, files or settings: the exit code is 2, and trying again doesn't help.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Misconfigured(pub String);

/// The exit that an error asks for; None where nothing is known of it.
pub fn exit_of(error: &anyhow::Error) -> Option<Exit> {
    let database = error.downcast_ref().is_some_and(StoreError::is_configuration);
    // What telemetry refuses is in the environment: a filter, an address.
    (database || error.is::<Misconfigured>() || error.is::<TelemetryError>()).then_some(Exit::Configuration)
}

/// Runs a verb. `stop` is cancelled when the process shall end: what was read is stored, what was begun is finished.
pub async fn run(
    cli: Cli,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    clock: Clock,
    progress: Progress,
) -> Result<Exit> {
    let port = match &cli.verb {
        Verb::Push(args) if args.follow => {
            Some(follow::Port::open(args.admin_address, metrics.clone(), stop.clone()).await?)
        }
        _ => None,
    };
    let decides =
        matches!(cli.verb, Verb::Import(_) | Verb::Export(_) | Verb::Push(_) | Verb::Sync(_) | Verb::Prune(_));
    let opening = Opening { applies: matches!(cli.verb, Verb::Apply(_)), waits: port.is_some(), decides };
    let exit = match App::open(&cli.settings, opening, metrics, stop, clock, progress).await? {
        Some(app) => work(app, cli.verb, port.as_ref()).await?,
        // What stays has ended as it was told; a job hasn't done its work.
        None if port.is_some() => Exit::Done,
        None => Exit::TryAgain,
    };
    if let Some(port) = port {
        port.close().await?;
    }
    Ok(exit)
}

async fn work(mut app: App, verb: Verb, port: Option<&follow::Port>) -> Result<Exit> {
    let exit = match (verb, port) {
        (Verb::Push(args), Some(port)) => Ok(follow::run(&mut app, &args, port).await),
        (verb, _) => self::verb(&app, verb).await,
    };
    app.close().await?;
    exit
}

async fn verb(app: &App, verb: Verb) -> Result<Exit> {
    match verb {
        Verb::Apply(args) => apply::run(app, &args).await,
        Verb::Import(args) => job::import(app, &args).await,
        Verb::Export(args) => job::export(app, &args).await,
        Verb::Push(args) => job::push(app, &args).await,
        Verb::Sync(args) => job::sync(app, &args.import).await,
        Verb::Servers(verb) => command::servers::run(app, verb).await,
        Verb::State(args) => command::state::run(app, &args).await,
        Verb::Why(args) => command::why::run(app, &args).await,
        Verb::Runs(args) => command::runs::run(app, &args).await,
        Verb::Held(verb) => command::held::run(app, verb).await,
        Verb::Outbox(verb) => command::outbox::run(app, verb).await,
        Verb::Inbox(verb) => command::inbox::run(app, verb).await,
        Verb::Prune(args) => command::prune::run(app, &args).await,
        Verb::Backup(args) => command::backup::run(app, &args).await,
        Verb::Restore(args) => command::restore::run(app, &args).await,
    }
}
