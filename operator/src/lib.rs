//! The operator: turns MediaServers and SyncSchedules of one namespace into what runs.
//!
//! [`lease`]: one replica works · [`media_server`]: a server is checked and put into the registry · [`sync_schedule`]: a schedule becomes CronJobs ·
//! [`runs`]: what they came to. Each controller is given the [`context`], writes by [`apply`], tells by [`events`], and fails by [`error`].

pub mod apply;
pub mod args;
pub mod client;
pub mod context;
pub mod current;
pub mod database;
pub mod error;
pub mod events;
pub mod lease;
pub mod media_server;
pub mod observe;
pub mod rights;
pub mod runs;
pub mod sync_schedule;
pub mod watched;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio_util::sync::CancellationToken;
use watchstate_runtime::Exit;
use watchstate_runtime::admin::{self, AdminServer, Readiness};
use watchstate_runtime::clock::Clock;
use watchstate_runtime::metrics::Metrics;
use watchstate_store::StoreError;

use crate::args::Args;
use crate::context::{Context, Jitter};
use crate::database::Database;
use crate::events::Events;
use crate::lease::Candidate;

/// How long work may take to drain after the first SIGTERM.
pub const GRACE: Duration = Duration::from_secs(25);

/// Works until `stop`.
pub async fn run(args: Args, metrics: Arc<Metrics>, stop: CancellationToken, clock: Clock) -> Result<Exit> {
    let admin = AdminServer::bind(&args.admin).await?;
    let config = kube::Config::infer()
        .await
        .context("no cluster: neither a pod's service account nor a kubeconfig was found")?;
    let namespace = args.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let client = client::counted(config, metrics.clone()).context("no client for this cluster can be made")?;
    let me = args.pod_name.clone().unwrap_or_else(host_name);

    let readiness = Readiness::new(stop.clone());
    let (database, keeper) = Database::at(&args.database);
    let told = readiness.tell("database");
    let drained = CancellationToken::new();
    let served = tokio::spawn(admin.serve(admin::router(readiness, metrics.clone(), None), drained.clone()));

    let context = Arc::new(Context {
        client: client.clone(),
        namespace: namespace.clone(),
        database,
        clock: clock.clone(),
        jitter: Jitter::system(),
        worker: args.worker,
        webhook_url: args.webhook_url,
        plex_tv: args.plex_tv,
        metrics,
        events: Events::new(client.clone(), &me),
    });
    let candidate = Candidate::new(client, &namespace, &me, clock);
    if args.farewell {
        media_server::farewell(&context, &candidate).await?;
        return Ok(Exit::Done);
    }
    tracing::info!(namespace, name = me, "standing for election");
    context.metrics.operator_leading.set(&(), 0.0);
    let work = || async {
        let _leading = observe::leading(&context.metrics);
        // A database that is just being connected to is not one that is away.
        context.database.settle().await;
        tokio::join!(
            media_server::controller(context.clone(), stop.clone()),
            sync_schedule::controller(context.clone(), stop.clone()),
            runs::export(&context, &stop),
        );
    };
    let exit = tokio::select! {
        () = candidate.lead(&stop, work) => Exit::Done,
        kept = keeper.keep(told) => {
            kept?;
            Exit::TryAgain
        }
    };
    drained.cancel();
    served.await??;
    Ok(exit)
}

fn host_name() -> String {
    std::fs::read_to_string("/etc/hostname").map_or_else(|_| "operator".to_owned(), |name| name.trim().to_owned())
}

/// The exit that an error asks for.
pub fn exit_of(error: &anyhow::Error) -> Exit {
    let address = matches!(error.downcast_ref(), Some(StoreError::Address(_)));
    let cluster = error.downcast_ref::<kube::config::InferConfigError>().is_some();
    if address || cluster { Exit::Configuration } else { Exit::TryAgain }
}
