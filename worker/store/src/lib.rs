//! The shared state in Postgres: one file an aggregate, all SQL of the project, checked when compiled.
//!
//! Functions take a connection, so that a caller puts several of them into one transaction ([`Store::begin`]). Bulk work is done in
//! sets by `unnest`. To add a query: write it with `sqlx::query!`, run `make sqlx` with a database at `DATABASE_URL`, and commit the changed `.sqlx`.

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

use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Executor, PgPool};

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

/// How long the database may be away when a process begins, before the next try.
const RETRY: Duration = Duration::from_secs(1);

/// The database of one installation. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pool: PgPool,
}

impl Store {
    /// Connects, with at most `connections` at a time, and waits up to ten seconds for the first. The address's password appears in no error.
    pub async fn connect(url: &str, connections: u32) -> Result<Self> {
        let store = Self::at(url, connections)?;
        store.pool.acquire().await.map_err(StoreError::Connect)?;
        Ok(store)
    }

    /// The same, connected only once it is used: for processes that stay, and begin their work when the database comes.
    pub fn at(url: &str, connections: u32) -> Result<Self> {
        // The library would take any scheme, and then wait for a Postgres at a MySQL's port.
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(StoreError::Address(sqlx::Error::Configuration("it begins with another scheme".into())));
        }
        let options = PgConnectOptions::from_str(url).map_err(StoreError::Address)?.log_statements(log_level());
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(Duration::from_secs(10))
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
        loop {
            match self.migrate().await {
                Err(error) if error.is_retryable() => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "waiting for the database");
                    tokio::time::sleep(RETRY).await;
                }
                ended => return ended,
            }
        }
    }

    /// Brings the schema up to date. Several processes may do so at once: one works, the others wait (sqlx holds an advisory lock).
    pub async fn migrate(&self) -> Result<()> {
        let mut connection = self.pool.acquire().await.map_err(StoreError::Connect)?;
        MIGRATIONS.run(&mut *connection).await?;
        Ok(())
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

/// Statements are worth a line only when somebody looks for them.
const fn log_level() -> tracing::log::LevelFilter {
    tracing::log::LevelFilter::Trace
}
