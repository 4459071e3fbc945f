//! The shared state in Postgres: one file an aggregate, all SQL of the project, checked when compiled.
//!
//! Functions take a connection, so that a caller puts several of them into one transaction ([`Store::begin`]). Bulk work is done in
//! sets by `unnest`. To add a query: write it with `sqlx::query!`, run `make sqlx` with a database at `DATABASE_URL`, and commit the changed `.sqlx`.

pub mod candidates;
pub mod cursors;
pub mod embedded;
mod error;
pub mod inbox;
pub mod items;
pub mod locks;
pub mod observations;
pub mod outbox;
pub mod own_marks;
pub mod plans;
pub mod registry;
pub mod report;
pub mod restored;
pub mod runs;
mod stamp;
pub mod titles;
pub mod transaction;
pub mod wake;
pub mod watches;

use std::io;
use std::str::FromStr;
use std::time::{Duration, Instant};

use backon::{ConstantBuilder, Retryable};
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection as _, Executor, PgPool};

pub use error::{Result, StoreError};

/// A connection to the database, in or out of a transaction.
pub type Connection = sqlx::PgConnection;
/// A transaction: rolled back when dropped without [`Transaction::commit`](sqlx::Transaction::commit).
pub type Transaction = sqlx::Transaction<'static, sqlx::Postgres>;
/// A connection borrowed from the pool.
pub type PooledConnection = sqlx::pool::PoolConnection<sqlx::Postgres>;

/// Older binaries run beside newer ones during an upgrade: a migration that one doesn't know is no error.
static MIGRATIONS: Migrator = {
    let mut migrations = sqlx::migrate!("./migrations");
    migrations.ignore_missing = true;
    migrations
};

/// How long one attempt to connect may take. Packets to a pod that is gone are swallowed without an answer, and a connection that began so never
/// ends at the pod that took its place: only a new one does.
const ATTEMPT: Duration = Duration::from_secs(5);
/// How long a database may take to start, or its name and address to be known everywhere.
const START: Duration = Duration::from_secs(30);
/// How long to wait before the next attempt.
const RETRY: Duration = Duration::from_secs(1);
/// How long the same cause isn't told again.
const QUIET: Duration = Duration::from_secs(10);

/// The database of one installation. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pool: PgPool,
}

impl Store {
    /// Connects, with at most `connections` at a time, by one attempt. The address's password appears in no error.
    pub async fn connect(url: &str, connections: u32) -> Result<Self> {
        let store = Self::at(url, connections)?;
        store.reach().await?.close().await?;
        Ok(store)
    }

    /// The same, connected only once it is used: for processes that wait for the database.
    pub fn at(url: &str, connections: u32) -> Result<Self> {
        // The library would take any scheme, and then wait for a Postgres at a MySQL's port.
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(StoreError::Address(sqlx::Error::Configuration("it begins with another scheme".into())));
        }
        let options = PgConnectOptions::from_str(url).map_err(StoreError::Address)?.log_statements(log_level());
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ATTEMPT * 2)
            .after_connect(|connection, _| {
                // Compiling a query takes longer than any of ours runs: where statistics are missing, Postgres would do it for a table of ten rows.
                let settings = "set application_name = 'watchstate'; set jit = off";
                Box::pin(async move { connection.execute(settings).await.map(drop) })
            })
            .connect_lazy_with(options);
        Ok(Self { pool })
    }

    /// Brings the schema up to date as soon as the database is there, however long that takes. An error is one that no waiting mends.
    pub async fn migrate_when_there(&self) -> Result<()> {
        self.migrate_while(StoreError::is_retryable).await
    }

    /// The same, for a database that may just be starting: one that takes longer than half a minute, or that its owner must mend, is an error.
    pub async fn migrate_once_up(&self) -> Result<()> {
        let began = Instant::now();
        self.migrate_while(|error| error.is_of_a_start() && began.elapsed() < START).await
    }

    async fn migrate_while(&self, waits: impl FnMut(&StoreError) -> bool) -> Result<()> {
        let mut said = None;
        (|| self.migrate())
            .retry(ConstantBuilder::new().with_delay(RETRY).without_max_times())
            .when(waits)
            .notify(|error, _| {
                if let Some(cause) = news(&mut said, error, Instant::now()) {
                    tracing::warn!("waiting for the database: {cause}");
                }
            })
            .await
    }

    /// Brings the schema up to date. Several processes may do so at once: one works, the others wait (sqlx holds an advisory lock).
    pub async fn migrate(&self) -> Result<()> {
        let mut connection = self.reach().await?;
        MIGRATIONS.run(&mut connection).await?;
        connection.close().await?;
        Ok(())
    }

    /// A connection beside the pool, by one attempt, whose error says why there is none: the pool's would only say that it took too long.
    async fn reach(&self) -> Result<Connection> {
        let options = self.pool.connect_options();
        let connecting = Connection::connect_with(&options);
        let connected = tokio::time::timeout(ATTEMPT, connecting).await;
        connected.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into())).map_err(|source| {
            let host =
                options.get_socket().map_or_else(|| options.get_host().to_owned(), |path| path.display().to_string());
            StoreError::of_connecting(format!("{host}:{}", options.get_port()), source)
        })
    }

    /// Tells Postgres' planner how large the tables have become. It finds out by itself, but only a minute after they have grown, and then thoroughly; until
    /// then a rough idea does.
    pub async fn analyze(&self) -> Result<()> {
        let mut transaction = self.begin().await?;
        transaction.execute("set local default_statistics_target = 10").await?;
        let tables = "analyze item, item_title, title, external_id, observation, watch_state, play, outbox, cursor";
        transaction.execute(tables).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// A connection of the pool.
    pub async fn acquire(&self) -> Result<PooledConnection> {
        Ok(self.pool.acquire().await?)
    }

    /// A transaction on a connection of the pool.
    pub async fn begin(&self) -> Result<Transaction> {
        Ok(self.pool.begin().await?)
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Why there is no database, if that is worth a line: another cause than the one before, or the same one some time later.
fn news(said: &mut Option<(String, Instant)>, error: &StoreError, now: Instant) -> Option<String> {
    let cause =
        std::error::Error::source(error).map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
    if said.as_ref().is_some_and(|(before, at)| *before == cause && now.duration_since(*at) < QUIET) {
        return None;
    }
    *said = Some((cause.clone(), now));
    Some(cause)
}

/// Statements are worth a line only when somebody looks for them.
const fn log_level() -> tracing::log::LevelFilter {
    tracing::log::LevelFilter::Trace
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_there_is_no_database_is_told_at_first_when_it_changes_and_every_ten_seconds() {
        let connect =
            |kind: io::ErrorKind| StoreError::of_connecting("db:5432".to_owned(), io::Error::from(kind).into());
        let (refused, late) = (connect(io::ErrorKind::ConnectionRefused), connect(io::ErrorKind::TimedOut));
        let (mut said, began) = (None, Instant::now());
        let mut told = |error, seconds| news(&mut said, error, began + Duration::from_secs(seconds));
        let first = told(&refused, 0).expect("a line");
        assert!(
            first.starts_with("no connection to the database at db:5432: ") && first.contains("refused"),
            "{first}"
        );
        let lines = [told(&refused, 1), told(&refused, 9), told(&refused, 10), told(&late, 11), told(&late, 20)];
        assert_eq!(lines.map(|line| line.is_some()), [false, false, true, true, false]);
    }
}
