//! What every reconcile is given: clients, settings, clock and chance. Nothing else is read from the surroundings.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use url::Url;
use watchstate_runtime::clock::Clock;
use watchstate_runtime::metrics::Metrics;

use crate::args::WorkerArgs;
use crate::database::Database;
use crate::events::Events;

/// What every reconcile is given.
#[derive(Clone)]
pub struct Context {
    /// The API server.
    pub client: Client,
    /// The installation's namespace: nothing outside of it is read or written.
    pub namespace: String,
    /// The database, which may be away.
    pub database: Database,
    /// The time now.
    pub clock: Clock,
    /// Chance, for spreading what would come all at once.
    pub jitter: Jitter,
    /// What worker pods are made of.
    pub worker: WorkerArgs,
    /// Where media servers reach the webhook.
    pub webhook_url: Option<Url>,
    /// Where plex.tv is.
    pub plex_tv: Url,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// What is told to people.
    pub events: Events,
}

/// A source of numbers from 0 up to, without, 1.
#[derive(Clone)]
pub struct Jitter(Arc<dyn Fn() -> f64 + Send + Sync>);

impl Jitter {
    /// Real chance. For mains.
    pub fn system() -> Self {
        Self::from_fn(|| {
            let mut bytes = [0; 4];
            // Without randomness all come at once, which is no reason to end.
            getrandom::fill(&mut bytes).ok();
            f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
        })
    }

    /// Any other source.
    pub fn from_fn(draw: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(draw))
    }

    /// The duration, up to a tenth longer or shorter.
    pub fn spread(&self, duration: Duration) -> Duration {
        duration.mul_f64(0.9 + 0.2 * (self.0)())
    }
}

impl std::fmt::Debug for Jitter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Jitter")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_stays_within_a_tenth() {
        let minute = Duration::from_mins(1);
        for (draw, millis) in [(0.0, 54_000), (0.5, 60_000), (0.999, 65_988)] {
            assert_eq!(Jitter::from_fn(move || draw).spread(minute).as_millis(), millis);
        }
        let jitter = Jitter::system();
        for _ in 0..100 {
            assert!((54..=66).contains(&jitter.spread(minute).as_secs()));
        }
    }
}
