//! The registry in memory: whose token is it, which servers and accounts are there. Read anew whenever it changes, without a restart.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use watchstate_merge::household::Household;
use watchstate_runtime::admin::Dependency;
use watchstate_runtime::redact;
use watchstate_store::wake::Channel;
use watchstate_store::{Result, Store, registry};

use crate::token::Tokens;

/// How often it is read anew although nobody said that it changed.
const SWEEP: Duration = Duration::from_secs(30);
/// An `apply` changes many rows: so long is waited for the last of them.
const SETTLE: Duration = Duration::from_millis(50);
/// The wait before the next try to listen.
const RETRY: Duration = Duration::from_secs(1);

/// One reading of the registry.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Servers, accounts, policies.
    pub household: Household,
    /// Whose token is it?
    pub tokens: Tokens,
}

/// The latest reading. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    latest: Arc<RwLock<Option<Arc<Snapshot>>>>,
}

impl Registry {
    /// The latest reading; None before the first.
    pub fn latest(&self) -> Option<Arc<Snapshot>> {
        self.latest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads it.
    pub async fn renew(&self, store: &Store) -> Result<()> {
        let mut connection = store.acquire().await?;
        let household = Household::load(&mut connection).await?;
        let hashes = registry::webhook_tokens(&mut connection).await?;
        let tokens = Tokens::new(
            household.servers.values().filter_map(|server| Some((server.id, hashes.get(&server.name)?.clone()))),
        );
        *self.latest.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(Snapshot { household, tokens }));
        Ok(())
    }

    /// Keeps it up to date until `stop`. `database` and `there` follow whether the database answers and whether it was read; `events` is told
    /// whenever there may be some that another process left.
    pub async fn follow(
        &self,
        store: &Store,
        database: &Dependency,
        there: &Dependency,
        events: &Notify,
        stop: &CancellationToken,
    ) {
        while !stop.is_cancelled() {
            let listening = async {
                let mut ear = store.listen(&[Channel::Registry]).await?;
                loop {
                    self.renew(store).await?;
                    database.set(true);
                    there.set(true);
                    events.notify_one();
                    if let Ok(heard) = tokio::time::timeout(SWEEP, ear.hear()).await {
                        heard?;
                        tokio::time::sleep(SETTLE).await;
                    }
                }
            };
            let ended: Result<()> = tokio::select! {
                ended = listening => ended,
                () = stop.cancelled() => return,
            };
            database.set(false);
            if let Err(error) = ended {
                tracing::warn!("the registry can't be read, trying again: {}", redact::chain(&error));
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = stop.cancelled() => {}
            }
        }
    }
}
