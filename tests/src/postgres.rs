//! A real Postgres for tests, the demo and benches: the one that `WATCHSTATE_TEST_POSTGRES` names, else an embedded one that all test processes of
//! this machine share. Each household has a database of its own.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection};
use tokio::sync::OnceCell;
use watchstate_store::embedded::{Embedded, Folders};

/// Names a Postgres to use: `postgres://user:password@host:port/postgres`, whose user may create databases.
pub const ADDRESS: &str = "WATCHSTATE_TEST_POSTGRES";
/// Where the embedded Postgres' programs are kept between runs.
pub const PROGRAMS: &str = "WATCHSTATE_POSTGRES_PROGRAMS";

/// Stays in use until the process ends; whoever uses it next joins it or takes it over.
static SHARED: OnceCell<Embedded> = OnceCell::const_new();

/// Starts the embedded Postgres, or joins those who use it.
pub async fn embedded() -> Result<Embedded> {
    let data = std::env::temp_dir().join("watchstate-tests-postgres");
    Embedded::start(Folders { programs: programs(), data }).await.context("the tests' Postgres didn't start")
}

/// The folder of the programs: a cache that outlives the checkout. The database's user must be able to enter it, which root's home forbids.
pub fn programs() -> PathBuf {
    if let Some(folder) = std::env::var_os(PROGRAMS) {
        return PathBuf::from(folder);
    }
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = set("HOME").filter(|home| home.as_path() != Path::new("/root"));
    set("XDG_CACHE_HOME")
        .or_else(|| home.map(|home| home.join(".cache")))
        .unwrap_or_else(|| PathBuf::from("/var/cache"))
        .join("watchstate/postgres")
}

/// An empty database that nobody else uses as long as this is held. Afterwards the next one empties and uses it: databases take long to make and
/// to drop, and would fill the disk.
#[derive(Debug)]
pub struct Database {
    /// Its address.
    pub url: String,
    /// Holds the lock that says so.
    _claim: PgConnection,
}

/// The first key of the locks on databases; the second is the database's number.
const CLAIM: i32 = 0x5741_5443;

/// Claims an empty database.
pub async fn database() -> Result<Database> {
    let server = match std::env::var(ADDRESS) {
        Ok(address) => address,
        Err(_) => SHARED.get_or_try_init(embedded).await?.url_of("postgres"),
    };
    let options: PgConnectOptions = server.parse()?;
    let mut claim = PgConnection::connect_with(&options).await?;
    let mut number = 0_i32;
    while !sqlx::query_scalar("select pg_try_advisory_lock($1, $2)")
        .bind(CLAIM)
        .bind(number)
        .fetch_one(&mut claim)
        .await?
    {
        number += 1;
    }
    let name = format!("household_{number}");
    let there: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
        .bind(&name)
        .fetch_one(&mut claim)
        .await?;
    let options = options.database(&name);
    if there {
        sqlx::query("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1")
            .bind(&name)
            .execute(&mut claim)
            .await?;
        let mut connection = PgConnection::connect_with(&options).await?;
        connection.execute("drop schema public cascade; create schema public").await?;
        connection.close().await?;
    } else {
        claim.execute(sqlx::AssertSqlSafe(format!("create database {name}"))).await?;
        // No test asks what is left after the machine has lost its power.
        claim.execute(sqlx::AssertSqlSafe(format!("alter database {name} set synchronous_commit = off"))).await?;
    }
    Ok(Database { url: options.to_url_lossy().to_string(), _claim: claim })
}

/// A new, empty database at a server; its address.
pub async fn database_at(server: &str) -> Result<String> {
    let options: PgConnectOptions = server.parse()?;
    let mut connection = PgConnection::connect_with(&options).await?;
    let name = format!("tool_{}", uuid::Uuid::new_v4().simple());
    connection.execute(sqlx::AssertSqlSafe(format!("create database {name}"))).await?;
    connection.close().await?;
    Ok(options.database(&name).to_url_lossy().to_string())
}
