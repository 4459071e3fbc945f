//! Leader election by a Lease: of several replicas one works. Every write carries the version that was read, so two that both take the lease
//! for free can't both get it. [`election`] decides; here is what talks.

pub mod election;

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::api::PostParams;
use kube::core::ObjectMeta;
use kube::{Api, Client};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use watchstate_runtime::clock::Clock;

use crate::apply::{FIELD_MANAGER, is};
use crate::error::words;
use election::{DURATION, FAREWELL, GIVE_UP, LOOK, Move, RENEW};

/// The name of the lease.
pub const NAME: &str = "watchstate-operator";
/// An answer that takes longer is none: a lease must not run out while we wait for one.
const PATIENCE: Duration = Duration::from_secs(3);

/// A candidate for the lease.
pub struct Candidate {
    api: Api<Lease>,
    me: String,
    clock: Clock,
}

/// The lease as it was seen, and since when, by our clock.
struct Seen {
    /// None: it was there, and is gone.
    version: Option<String>,
    since: Instant,
}

impl Candidate {
    /// A candidate by this name, which no other replica may bear.
    pub fn new(client: Client, namespace: &str, me: &str, clock: Clock) -> Self {
        Self { api: Api::namespaced(client, namespace), me: me.to_owned(), clock }
    }

    /// Runs `work` while leading, until `stop`; work is given `stop` and ends by it. When the lease is lost, work is dropped where it stands, and
    /// the candidate stands for election again. When it ends in peace, the lease is given up at once.
    pub async fn lead<F: Future<Output = ()>>(&self, stop: &CancellationToken, work: impl Fn() -> F) {
        while let Some(lease) = self.win(stop).await {
            tracing::info!(name = self.me, "leading");
            let mut held = lease;
            let ended = tokio::select! {
                biased;
                () = self.hold(&mut held) => false,
                () = work() => true,
            };
            if ended {
                self.release(&held).await;
                return;
            }
            tracing::warn!(name = self.me, "the lease is lost; all work has stopped");
        }
    }

    /// Takes the lease, whoever has it, and does `work` once nobody else can still be at theirs. Afterwards nobody leads for a minute: meanwhile the
    /// installation is taken down.
    pub async fn take_over<F: Future<Output = ()>>(&self, work: impl FnOnce() -> F) -> Result<(), kube::Error> {
        let mut lease = loop {
            let taken = match self.api.get_opt(NAME).await? {
                None => self.create().await?,
                Some(lease) => {
                    let spec = lease.spec.clone().unwrap_or_default();
                    self.replace(lease, election::taken(&spec, &self.me, self.clock.now())).await?
                }
            };
            if let Some(lease) = taken {
                break lease;
            }
        };
        tracing::info!("the lease is taken; whoever had it stops within {DURATION:?}");
        let work = async {
            tokio::time::sleep(DURATION).await;
            work().await;
        };
        let done = tokio::select! {
            () = work => true,
            () = self.hold(&mut lease) => false,
        };
        if done {
            let spec = election::kept(&lease.spec.clone().unwrap_or_default(), FAREWELL, self.clock.now());
            self.replace(lease, spec).await?;
        } else {
            tracing::warn!("the lease was lost to another one before all was done");
        }
        Ok(())
    }

    /// Waits until the lease is ours. None: told to stop.
    async fn win(&self, stop: &CancellationToken) -> Option<Lease> {
        let mut seen = None;
        loop {
            match tokio::time::timeout(PATIENCE, self.stand(&mut seen)).await {
                Ok(Ok(Some(lease))) => return Some(lease),
                Ok(Ok(None)) => {}
                Ok(Err(error)) => tracing::warn!("the lease can't be read or taken: {}", words(&error)),
                Err(_) => tracing::warn!("the API server doesn't answer about the lease"),
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = stop.cancelled() => return None,
            }
        }
    }

    /// One look at the lease; takes it where that may be.
    async fn stand(&self, seen: &mut Option<Seen>) -> Result<Option<Lease>, kube::Error> {
        let found = self.api.get_opt(NAME).await?;
        let version = found.as_ref().and_then(|lease| lease.metadata.resource_version.clone());
        let before = seen.take();
        if found.is_none() && before.is_none() {
            return self.create().await;
        }
        let same = before.filter(|seen| seen.version == version);
        let since = same.map_or_else(Instant::now, |seen| seen.since);
        *seen = Some(Seen { version, since });
        let Some(lease) = found else {
            // Whoever had it may not have noticed yet.
            return if since.elapsed() >= DURATION { self.create().await } else { Ok(None) };
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let decided = election::decide(&spec, since.elapsed(), &self.me);
        match decided {
            Move::Wait => Ok(None),
            Move::Take | Move::Keep => self.replace(lease, election::taken(&spec, &self.me, self.clock.now())).await,
        }
    }

    async fn create(&self) -> Result<Option<Lease>, kube::Error> {
        let metadata = ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() };
        let spec = election::taken(&LeaseSpec::default(), &self.me, self.clock.now());
        if_first(self.api.create(&params(), &Lease { metadata, spec: Some(spec) }).await)
    }

    /// Writes the lease, if nobody was quicker.
    async fn replace(&self, lease: Lease, spec: LeaseSpec) -> Result<Option<Lease>, kube::Error> {
        let metadata = ObjectMeta { managed_fields: None, ..lease.metadata };
        if_first(self.api.replace(NAME, &params(), &Lease { metadata, spec: Some(spec) }).await)
    }

    /// Renews the lease for as long as it is ours; returns when it no longer is, or may no longer be.
    async fn hold(&self, lease: &mut Lease) {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(RENEW.min(GIVE_UP.saturating_sub(renewed.elapsed()))).await;
            // Counted from before the request: the lease runs from when the API server has it, which is later.
            let began = Instant::now();
            let patience = PATIENCE.min((renewed + GIVE_UP).saturating_duration_since(began));
            match tokio::time::timeout(patience, self.renew(lease)).await {
                Ok(Ok(Some(current))) => {
                    *lease = current;
                    renewed = began;
                    continue;
                }
                Ok(Ok(None)) => return,
                Ok(Err(error)) => tracing::warn!("the lease could not be renewed: {}", words(&error)),
                Err(_) => tracing::warn!("the lease could not be renewed in time"),
            }
            if renewed.elapsed() >= GIVE_UP {
                return;
            }
            // A moment, not a whole turn: of the lease not much is left.
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// None: somebody else has it.
    async fn renew(&self, lease: &Lease) -> Result<Option<Lease>, kube::Error> {
        let spec = lease.spec.clone().unwrap_or_default();
        if let Some(renewed) = self.replace(lease.clone(), election::taken(&spec, &self.me, self.clock.now())).await? {
            return Ok(Some(renewed));
        }
        // Our own write may have come through without its answer, or somebody has put a label on it.
        let Some(found) = self.api.get_opt(NAME).await? else { return self.create().await };
        let spec = found.spec.clone().unwrap_or_default();
        match election::decide(&spec, Duration::ZERO, &self.me) {
            Move::Keep => self.replace(found, election::taken(&spec, &self.me, self.clock.now())).await,
            Move::Take | Move::Wait => Ok(None),
        }
    }

    /// Gives the lease up, so that another replica needn't wait for its end.
    async fn release(&self, lease: &Lease) {
        let spec = election::released(&lease.spec.clone().unwrap_or_default(), self.clock.now());
        match tokio::time::timeout(PATIENCE, self.replace(lease.clone(), spec)).await {
            Ok(Ok(_)) => tracing::info!("the lease is given up"),
            Ok(Err(error)) => {
                tracing::warn!("the lease could not be given up; it ends in {DURATION:?}: {}", words(&error));
            }
            Err(_) => tracing::warn!("the lease could not be given up in time; it ends in {DURATION:?}"),
        }
    }
}

fn params() -> PostParams {
    PostParams { dry_run: false, field_manager: Some(FIELD_MANAGER.to_owned()) }
}

/// 404 and 409: another one was quicker.
fn if_first(written: Result<Lease, kube::Error>) -> Result<Option<Lease>, kube::Error> {
    match written {
        Ok(lease) => Ok(Some(lease)),
        Err(error) if is(&error, 409) || is(&error, 404) => Ok(None),
        Err(error) => Err(error),
    }
}
