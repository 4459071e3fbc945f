//! The command: parses, starts telemetry, runs a verb, ends with its exit code.

use std::process::ExitCode;

use tracing::Level;
use watchstate_runtime::clock::Clock;
use watchstate_runtime::logs::Sink;
use watchstate_runtime::shutdown::Shutdown;
use watchstate_runtime::{Exit, Service, Telemetry, command_line, redact};
use watchstate_worker::args::Cli;
use watchstate_worker::progress::Progress;

/// Pages of items come and go by the thousand: mimalloc gives their memory back and is quicker at it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli: Cli = command_line::parse();
    let progress = Progress::detect();
    let above = progress.clone();
    let service = Service { name: "watchstate-worker", version: env!("CARGO_PKG_VERSION"), level: Level::WARN };
    let sink = Sink::new(move |line| above.print_above(line));
    let telemetry = match Telemetry::start_with(service, &cli.logs, sink) {
        Ok(telemetry) => telemetry,
        Err(error) => return refuse(&error.into()),
    };
    let ended = run(cli, &telemetry, progress);
    telemetry.shutdown();
    ended
}

fn run(cli: Cli, telemetry: &Telemetry, progress: Progress) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&error.into()),
    };
    runtime.block_on(async {
        let shutdown = match Shutdown::listen(Some(watchstate_worker::GRACE)) {
            Ok(shutdown) => shutdown,
            Err(error) => return refuse(&error.into()),
        };
        let root = tracing::info_span!("watchstate-worker");
        telemetry.adopt(&root);
        let work =
            watchstate_worker::run(cli, telemetry.metrics.clone(), shutdown.soft().clone(), Clock::system(), progress);
        let work = tracing::Instrument::instrument(work, root);
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
    watchstate_worker::exit_of(error).unwrap_or(Exit::TryAgain).into()
}
