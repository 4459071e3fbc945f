//! The receiver of webhooks: what happens on one media server reaches the others at once.
//!
//! The way of a request: [`receiver`] ([`address`] → [`token`] → [`body`] → [`resolve`]) → [`journal`] (the database, or the [`spool`]) → 202. Then
//! [`merger`] merges what waits. It faces the internet, so it holds no token of a media server and has no rights in a cluster: it sees the database only.

pub mod address;
pub mod args;
pub mod body;
pub mod journal;
pub mod keep;
pub mod merger;
pub mod receiver;
pub mod registry;
pub mod resolve;
pub mod serve;
pub mod spool;
pub mod token;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use watchstate_runtime::admin::{self, AdminServer, Readiness};
use watchstate_runtime::clock::Clock;
use watchstate_runtime::metrics::Metrics;
use watchstate_runtime::{Exit, TelemetryError};
use watchstate_store::embedded;

use crate::args::Cli;
use crate::keep::Keeper;
use crate::merger::Merger;
use crate::receiver::{Receiver, WrongTokens};
use crate::registry::Registry;
use crate::spool::Spool;

/// How long work may take to drain after the first SIGTERM.
pub const GRACE: Duration = Duration::from_secs(25);
/// One for the journal, one for merging, one that listens, and a few for gauges and raw requests.
const CONNECTIONS: u32 = 6;
const MIB: u64 = 1024 * 1024;

/// Receives until `stop`.
pub async fn run(cli: Cli, metrics: Arc<Metrics>, stop: CancellationToken, clock: Clock) -> Result<Exit> {
    let data = cli
        .data
        .clone()
        .or_else(embedded::data_folder)
        .context("there is no home folder to keep data in: name a folder with --data, or WATCHSTATE_DATA")?;
    let admin = AdminServer::bind(&cli.admin).await?;
    let readiness = Readiness::new(stop.clone());
    // Without the database events go to the spool: to be taken out of service then would lose them.
    let database = readiness.tell("database");
    let there = readiness.require("registry");
    let room = readiness.require("spool");
    room.set(true);
    let drained = CancellationToken::new();
    let served = tokio::spawn(admin.serve(admin::router(readiness, metrics.clone(), None), drained.clone()));
    let listener = TcpListener::bind(cli.address)
        .await
        .with_context(|| format!("could not listen on {}; choose another with --address", cli.address))?;
    let spool = Spool::open(&cli.spool.clone().unwrap_or_else(|| data.join("spool")), cli.spool_mib * MIB)?;
    let (store, embedded) = embedded::open(cli.database.as_deref(), &data, CONNECTIONS).await?;
    tracing::info!(address = %listener.local_addr()?, "webhooks are received");

    metrics.expect_refusals();
    let events = Arc::new(Notify::new());
    let registry = Registry::default();
    let ready = CancellationToken::new();
    let (journal, writer) =
        journal::open(store.clone(), ready.clone(), spool, room, metrics.clone(), Arc::clone(&events));
    let writer = tokio::spawn(writer.run());
    let merger =
        Merger { store: store.clone(), registry: registry.clone(), clock: clock.clone(), metrics: metrics.clone() };
    let merging = tokio::spawn(merger.clone().run(Arc::clone(&events), drained.clone()));
    let following = {
        let (registry, store, events) = (registry.clone(), store.clone(), Arc::clone(&events));
        let (ready, drained) = (ready.clone(), drained.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = ready.cancelled() => registry.follow(&store, &database, &there, &events, &drained).await,
                () = drained.cancelled() => {}
            }
        })
    };
    let receiver = Receiver {
        registry,
        journal,
        clock: clock.clone(),
        metrics,
        trusted: cli.trusted_proxies.clone(),
        max_body: cli.max_body_kib as usize * 1024,
        wrong: WrongTokens::a_minute(cli.wrong_tokens),
        keeper: cli.keep_requests.map(|each| Keeper::new(store.clone(), clock.now(), each)),
    };
    // Until the registry was read, requests are answered with 503.
    let halt = stop.child_token();
    let prepare = async {
        let migrated = tokio::select! {
            migrated = store.migrate_when_there() => migrated,
            () = halt.cancelled() => return Ok(()),
        };
        match migrated {
            Ok(()) => ready.cancel(),
            Err(_) => halt.cancel(),
        }
        migrated
    };
    let serving = serve::serve(listener, receiver::router(Arc::new(receiver)), cli.max_connections, &halt);
    let ((), prepared) = tokio::join!(serving, prepare);

    // Every answer was given, so every journal is gone: the writer stores what it has, and ends.
    writer.await?;
    if let Err(error) = merger.all().await {
        tracing::debug!("the last events are left to another process: {error}");
    }
    drained.cancel();
    merging.await?;
    following.await?;
    store.close().await;
    if let Some(embedded) = embedded {
        embedded.stop().await.context("the embedded Postgres didn't stop")?;
    }
    served.await??;
    prepared?;
    Ok(Exit::Done)
}

/// The exit that an error asks for.
pub fn exit_of(error: &anyhow::Error) -> Exit {
    let address = matches!(error.downcast_ref(), Some(watchstate_store::StoreError::Address(_)));
    // What telemetry refuses is in the environment: a filter, an address.
    if address || error.is::<TelemetryError>() { Exit::Configuration } else { Exit::TryAgain }
}
