//! The command: parses, starts telemetry, receives, ends when told to.

use std::process::ExitCode;

use tracing::Level;
use watchstate_runtime::clock::Clock;
use watchstate_runtime::shutdown::Shutdown;
use watchstate_runtime::{Exit, Service, Telemetry, command_line, redact};
use watchstate_webhook::args::Cli;

/// Bodies come and go: mimalloc gives their memory back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli: Cli = command_line::parse();
    let service = Service { name: "watchstate-webhook", version: env!("CARGO_PKG_VERSION"), level: Level::INFO };
    let telemetry = match Telemetry::start(service, &cli.logs) {
        Ok(telemetry) => telemetry,
        Err(error) => return refuse(&error.into()),
    };
    let ended = run(cli, &telemetry);
    telemetry.shutdown();
    ended
}

fn run(cli: Cli, telemetry: &Telemetry) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&error.into()),
    };
    runtime.block_on(async {
        let shutdown = match Shutdown::listen(Some(watchstate_webhook::GRACE)) {
            Ok(shutdown) => shutdown,
            Err(error) => return refuse(&error.into()),
        };
        let work = watchstate_webhook::run(cli, telemetry.metrics.clone(), shutdown.soft().clone(), Clock::system());
        match shutdown.supervise(Box::pin(work)).await {
            Ok(Ok(exit)) => exit.into(),
            Ok(Err(error)) => refuse(&error),
            Err(aborted) => aborted.into(),
        }
    })
}

/// What couldn't even begin is told to the person at once, with all its causes.
fn refuse(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {}", redact::chain(error.as_ref()));
    Exit::into(watchstate_webhook::exit_of(error))
}
