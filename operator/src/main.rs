//! The command: parses, starts telemetry, works, ends when told to.

use std::process::ExitCode;

use tracing::Level;
use watchstate_operator::args::Args;
use watchstate_runtime::clock::Clock;
use watchstate_runtime::shutdown::Shutdown;
use watchstate_runtime::{Exit, Service, Telemetry, command_line, redact};

/// It waits most of the time, and each thread has memory of its own: so many are enough for a thousand servers.
const THREADS: usize = 2;

fn main() -> ExitCode {
    let args: Args = command_line::parse();
    let service = Service { name: "watchstate-operator", version: env!("CARGO_PKG_VERSION"), level: Level::INFO };
    let telemetry = match Telemetry::start(service, &args.logs) {
        Ok(telemetry) => telemetry,
        Err(error) => return refuse(&error.into()),
    };
    let ended = run(args, &telemetry);
    telemetry.shutdown();
    ended
}

fn run(args: Args, telemetry: &Telemetry) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&error.into()),
    };
    runtime.block_on(async {
        let shutdown = match Shutdown::listen(Some(watchstate_operator::GRACE)) {
            Ok(shutdown) => shutdown,
            Err(error) => return refuse(&error.into()),
        };
        let work = watchstate_operator::run(args, telemetry.metrics.clone(), shutdown.soft().clone(), Clock::system());
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
    Exit::into(watchstate_operator::exit_of(error))
}
