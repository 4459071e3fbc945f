//! Runs a command beside a Postgres for tests: `with-postgres cargo test`. The Postgres is stopped when the command has ended.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use watchstate_tests::postgres;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let Some(program) = arguments.next() else { bail!("usage: with-postgres COMMAND [ARGUMENT …]") };
    let embedded = postgres::embedded().await?;
    let status = tokio::process::Command::new(&program)
        .args(arguments)
        .env(postgres::ADDRESS, embedded.url_of("postgres"))
        .status()
        .await
        .with_context(|| format!("{} can't be run", program.display()))?;
    embedded.stop().await?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
