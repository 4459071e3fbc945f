//! The database, which may be away: whoever asks is told at once, and who waits for it hears when it is back. One task connects and looks
//! after it, so that a thousand reconciles don't each wait for a time-out.

use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use tokio::sync::watch;
use tokio::time::error::Elapsed;
use watchstate_runtime::admin::Dependency;
use watchstate_runtime::redact;
use watchstate_store::{Store, StoreError, registry};

use crate::error::Error;

/// A few reconciles and a scrape at a time.
const CONNECTIONS: u32 = 6;
/// How often it is looked for while it is away, and whether it is there while it is.
const LOOK: Duration = Duration::from_secs(2);
/// An answer that takes longer is none.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// A migration may wait for another process's, or for long transactions, and one that is cut off begins anew.
const MIGRATION: Duration = Duration::from_mins(15);

/// The database doesn't answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the database does not answer")]
pub struct Away;

/// The database, which may be away. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Database {
    there: watch::Receiver<Option<Store>>,
}

/// Looks after a [`Database`].
#[derive(Debug)]
pub struct Keeper {
    url: String,
    there: watch::Sender<Option<Store>>,
}

impl Database {
    /// The database at an address, away until [`Keeper::keep`] has found it.
    pub fn at(url: &str) -> (Self, Keeper) {
        let (sender, there) = watch::channel(None);
        (Self { there }, Keeper { url: url.to_owned(), there: sender })
    }

    /// One that is there, or away, for good. For tests.
    pub fn fixed(store: Option<Store>) -> Self {
        Self { there: watch::channel(store).1 }
    }

    /// The store.
    ///
    /// # Errors
    /// It is away.
    pub fn store(&self) -> Result<Store, Away> {
        self.there.borrow().clone().ok_or(Away)
    }

    /// Asks it something, for at most so long: the network may have swallowed the question, and nobody would tell.
    ///
    /// # Errors
    /// It is away, doesn't answer in time, or refuses.
    pub async fn ask<T>(
        &self,
        limit: Duration,
        question: impl AsyncFnOnce(Store) -> Result<T, StoreError>,
    ) -> Result<T, Error> {
        let store = self.store()?;
        match tokio::time::timeout(limit, question(store)).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Away.into()),
        }
    }

    /// Waits until it is there, though not for long: it may stay away.
    pub async fn settle(&self) {
        let mut there = self.there.clone();
        let found = there.wait_for(Option::is_some);
        if !matches!(tokio::time::timeout(PATIENCE, found).await, Ok(Ok(_))) {
            tracing::warn!("the database isn't there; everything else goes on without it");
        }
    }

    /// An item each time it is back.
    pub fn returns(&self) -> impl Stream<Item = ()> + Send + 'static {
        stream::unfold(self.there.clone(), async |mut there| {
            there.changed().await.ok()?;
            let found = there.borrow_and_update().is_some();
            Some((found, there))
        })
        .filter_map(async |found| found.then_some(()))
        // One whose keeper is gone never comes back.
        .chain(stream::pending())
    }
}

impl Keeper {
    /// Connects, brings the schema up to date and looks again and again whether it is there. Ends only where the address can't be one.
    ///
    /// # Errors
    /// The address can't be read.
    pub async fn keep(self, told: Dependency) -> Result<(), StoreError> {
        let mut open = None;
        loop {
            let found = match &open {
                None => connect(&self.url).await,
                Some(store) => tokio::time::timeout(PATIENCE, look(store)).await,
            };
            // Connections that the network has swallowed never come back: a new pool doesn't wait for them.
            if found.is_err() {
                open = None;
            }
            let there = match found {
                Ok(Ok(store)) => Some(store),
                Ok(Err(error @ StoreError::Address(_))) => return Err(error),
                Ok(Err(error)) => {
                    self.missed(&redact::chain(&error));
                    None
                }
                Err(_) => {
                    self.missed("no answer in time");
                    None
                }
            };
            told.set(there.is_some());
            // The pool connects again by itself: it is kept, once the schema has been brought up to date.
            open = there.clone().or(open);
            self.there.send_if_modified(|known| {
                let changed = known.is_some() != there.is_some();
                if changed {
                    tracing::info!("the database is {}", if there.is_some() { "there" } else { "away" });
                    *known = there;
                }
                changed
            });
            tokio::time::sleep(LOOK).await;
        }
    }

    fn missed(&self, why: &str) {
        // Once, not each time.
        if self.there.borrow().is_some() {
            tracing::warn!("the database does not answer: {why}");
        } else {
            tracing::debug!("the database does not answer: {why}");
        }
    }
}

async fn connect(url: &str) -> Result<Result<Store, StoreError>, Elapsed> {
    let store = match tokio::time::timeout(PATIENCE * 2, Store::connect(url, CONNECTIONS)).await? {
        Ok(store) => store,
        Err(error) => return Ok(Err(error)),
    };
    let migrated = tokio::time::timeout(MIGRATION, store.migrate()).await?;
    Ok(migrated.map(|()| store))
}

async fn look(store: &Store) -> Result<Store, StoreError> {
    let mut connection = store.acquire().await?;
    registry::installation(&mut connection).await?;
    Ok(store.clone())
}
