//! What every binary shares: logs, traces, metrics, the admin port, signals, exit codes, the clock. Nothing here knows what is synced.
//!
//! A main starts with three lines: [`Telemetry::start`], [`shutdown::Shutdown::listen`], and at the end [`Telemetry::shutdown`].

pub mod admin;
pub mod clock;
pub mod command_line;
pub mod exit;
pub mod logs;
pub mod metrics;
mod panics;
pub mod redact;
pub mod shutdown;
mod telemetry;
pub mod traces;

pub use exit::Exit;
pub use telemetry::{Service, Telemetry, TelemetryError, install_crypto};

/// Reads one environment variable; an empty one counts as not set. Passed in, so that tests need no environment.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The environment of this process.
pub(crate) fn process_environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
