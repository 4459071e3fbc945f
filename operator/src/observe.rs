//! Measures what the operator does: each reconcile with its outcome, each request to the API server.

use std::sync::Arc;
use std::time::Instant;

use watchstate_runtime::metrics::{Metrics, OfResource, ReconcileOutcome, Reconciled};

use crate::error::{Error, Kind};

/// Measures one reconcile, however it ends; the reconcile itself knows nothing of it.
pub async fn reconcile<T>(
    metrics: &Arc<Metrics>,
    resource: &'static str,
    pass: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let mut guard =
        Guard { metrics: metrics.clone(), resource, began: Instant::now(), outcome: ReconcileOutcome::Abandoned };
    let done = pass.await;
    guard.outcome = match &done {
        Ok(_) => ReconcileOutcome::Done,
        Err(error) => match error.kind() {
            Kind::Stalled => ReconcileOutcome::Stalled,
            Kind::Waiting => ReconcileOutcome::Waiting,
            Kind::Transient => ReconcileOutcome::Failed,
        },
    };
    done
}

/// Shows that this process leads, until it is dropped.
pub fn leading(metrics: &Arc<Metrics>) -> Leading {
    metrics.operator_leading.set(&(), 1.0);
    Leading(metrics.clone())
}

/// See [`leading`].
#[derive(Debug)]
#[must_use = "dropped at once, nobody leads"]
pub struct Leading(Arc<Metrics>);

impl Drop for Leading {
    fn drop(&mut self) {
        self.0.operator_leading.set(&(), 0.0);
    }
}

/// A reconcile under way. Dropped in the middle, since the lease was lost, it counts as abandoned.
struct Guard {
    metrics: Arc<Metrics>,
    resource: &'static str,
    began: Instant,
    outcome: ReconcileOutcome,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Self { resource, outcome, .. } = *self;
        self.metrics.reconciles_total.inc(&Reconciled { resource, outcome });
        self.metrics.reconcile_duration_seconds.observe(&OfResource { resource }, self.began.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Away;

    #[tokio::test]
    async fn each_pass_counts_once_with_its_outcome() {
        let metrics = Arc::new(Metrics::new().unwrap());
        reconcile(&metrics, "MediaServer", async { Ok(()) }).await.unwrap();
        reconcile::<()>(&metrics, "MediaServer", async { Err(Away.into()) }).await.unwrap_err();
        drop(Box::pin(reconcile::<()>(&metrics, "MediaServer", std::future::pending())));
        let mut left = Box::pin(reconcile::<()>(&metrics, "MediaServer", std::future::pending()));
        assert!(futures::poll!(&mut left).is_pending());
        drop(left);
        let count = |outcome| metrics.reconciles_total.get(&Reconciled { resource: "MediaServer", outcome });
        let counts = [ReconcileOutcome::Done, ReconcileOutcome::Waiting, ReconcileOutcome::Abandoned].map(count);
        assert_eq!(counts, [1, 1, 1]);
        assert_eq!(metrics.reconcile_duration_seconds.count(&OfResource { resource: "MediaServer" }), 3);
    }
}
