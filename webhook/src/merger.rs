//! Merges the events that wait in the inbox: those of this receiver at once, and those that another one left.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use watchstate_merge::events;
use watchstate_runtime::clock::Clock;
use watchstate_runtime::metrics::Metrics;
use watchstate_runtime::redact;
use watchstate_store::{Result, Store};

use crate::registry::Registry;

/// How often is looked for events that nobody told of.
const SWEEP: Duration = Duration::from_secs(15);
/// The wait after a failure.
const RETRY: Duration = Duration::from_secs(1);

/// What merging needs.
#[derive(Debug, Clone)]
pub struct Merger {
    /// The database.
    pub store: Store,
    /// Who is who.
    pub registry: Registry,
    /// The time.
    pub clock: Clock,
    /// Where verdicts are counted.
    pub metrics: Arc<Metrics>,
}

impl Merger {
    /// Merges whenever `events` says so, until `stop`.
    pub async fn run(self, events: Arc<Notify>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = events.notified() => {}
                () = tokio::time::sleep(SWEEP) => {}
                () = stop.cancelled() => break,
            }
            while let Err(error) = self.all().await {
                tracing::warn!("events can't be merged, trying again: {}", redact::chain(&error));
                tokio::select! {
                    () = tokio::time::sleep(RETRY) => {}
                    () = stop.cancelled() => return,
                }
                // A server or account that is gone would fail for ever.
                if let Err(error) = self.registry.renew(&self.store).await {
                    tracing::debug!("the registry can't be read either: {}", redact::chain(&error));
                }
            }
        }
    }

    /// Merges what waits.
    pub async fn all(&self) -> Result<()> {
        let Some(snapshot) = self.registry.latest() else { return Ok(()) };
        loop {
            let merged = events::merge_waiting(&self.store, &snapshot.household, self.clock.now()).await?;
            if merged.is_empty() {
                return Ok(());
            }
            self.metrics.received(merged.iter().filter_map(|event| event.counts_as(&snapshot.household)));
        }
    }
}
