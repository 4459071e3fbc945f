//! Runs a command beside a Postgres for tests: `with-postgres cargo test`. The Postgres is stopped when the command has ended.
//! `with-postgres --migrations FOLDER COMMAND` also gives it, as `DATABASE_URL`, a database with the folder's migrations as they stand.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use sqlx::Connection;
use sqlx::migrate::Migrator;
use watchstate_tests::postgres;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let mut arguments = std::env::args_os().skip(1).peekable();
    let migrations = arguments.next_if(|argument| argument == "--migrations").and_then(|_| arguments.next());
    let Some(program) = arguments.next() else {
        bail!("usage: with-postgres [--migrations FOLDER] COMMAND [ARGUMENT …]")
    };
    let embedded = postgres::embedded().await?;
    let server = embedded.url_of("postgres");
    let mut command = tokio::process::Command::new(&program);
    command.args(arguments).env(postgres::ADDRESS, &server);
    if let Some(folder) = migrations {
        let database = postgres::database_at(&server).await?;
        let mut connection = sqlx::PgConnection::connect(&database).await?;
        Migrator::new(Path::new(&folder)).await?.run(&mut connection).await?;
        connection.close().await?;
        command.env("DATABASE_URL", database);
    }
    let status = command.status().await.with_context(|| format!("{} can't be run", program.display()))?;
    embedded.stop().await?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
