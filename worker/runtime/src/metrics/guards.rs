//! Guards measure what is under way, so that an early return is counted as well and the logic has no lines about metrics.

use std::sync::Arc;
use std::time::Instant;

use super::{Call, Metrics, OfComponent, Request, RequestOutcome, RunOutcome, Verb};

impl Metrics {
    /// Measures one request from now on; dropped without [`RequestGuard::finish`], it counts as abandoned.
    pub fn request(self: &Arc<Self>, call: Call) -> RequestGuard {
        RequestGuard { metrics: self.clone(), call, began: Instant::now(), outcome: RequestOutcome::Abandoned }
    }

    /// Measures one run from now on; dropped without [`RunGuard::finish`], it counts as abandoned.
    pub fn run(self: &Arc<Self>, verb: Verb) -> RunGuard {
        RunGuard { metrics: self.clone(), verb, began: Instant::now(), outcome: RunOutcome::Abandoned }
    }
}

impl Metrics {
    /// Counts a request that a component answers as in flight, until the guard is dropped.
    pub fn in_flight(self: &Arc<Self>, component: &'static str) -> InFlight {
        let of = OfComponent { component };
        self.requests_in_flight.add(&of, 1.0);
        InFlight { metrics: self.clone(), of }
    }
}

/// A request that is being answered.
#[derive(Debug)]
#[must_use = "dropped at once, the request is not in flight"]
pub struct InFlight {
    metrics: Arc<Metrics>,
    of: OfComponent,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.metrics.requests_in_flight.add(&self.of, -1.0);
    }
}

/// A request under way.
#[derive(Debug)]
#[must_use = "dropped at once, the request counts as abandoned"]
pub struct RequestGuard {
    metrics: Arc<Metrics>,
    call: Call,
    began: Instant,
    outcome: RequestOutcome,
}

impl RequestGuard {
    /// The request ended so.
    pub fn finish(mut self, outcome: RequestOutcome) {
        self.outcome = outcome;
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let Call { server, kind, operation } = self.call.clone();
        let request = Request { server, kind, operation, outcome: self.outcome };
        self.metrics.observe_request(&request, self.began.elapsed());
    }
}

/// A run under way.
#[derive(Debug)]
#[must_use = "dropped at once, the run counts as abandoned"]
pub struct RunGuard {
    metrics: Arc<Metrics>,
    verb: Verb,
    began: Instant,
    outcome: RunOutcome,
}

impl RunGuard {
    /// The run ended so.
    pub fn finish(mut self, outcome: impl Into<RunOutcome>) {
        self.outcome = outcome.into();
    }
}

impl Drop for RunGuard {
    fn drop(&mut self) {
        self.metrics.observe_run(self.verb, self.outcome, self.began.elapsed());
    }
}
