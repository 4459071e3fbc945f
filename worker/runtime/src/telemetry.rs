//! Logs, traces and metrics of one process, started together and ended together.

use std::sync::Arc;
use std::time::Duration;

use tracing::{Level, Span};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::logs::{LogArgs, LogFilterError, Sink};
use crate::metrics::{Build, Metrics, MetricsError};
use crate::traces::{Traces, TracesError};
use crate::{Environment, logs, panics, process_environment, redact};

/// How long the last spans may take to leave: an unreachable collector must not hold up the end of a Job.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);

/// Who is running.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    /// `watchstate-worker`; the service's name in traces unless `OTEL_SERVICE_NAME` gives another.
    pub name: &'static str,
    /// `env!("CARGO_PKG_VERSION")`.
    pub version: &'static str,
    /// What is logged if nobody asks for more: info for long-lived processes, warn for commands.
    pub level: Level,
}

/// Telemetry could not be started; except for the last two a person must change a setting ([`crate::Exit::Configuration`]).
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log filter.
    #[error(transparent)]
    Logs(#[from] LogFilterError),
    /// The OTLP settings.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// The metrics' declaration.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The process has a subscriber already.
    #[error("could not install the log; was telemetry started twice?")]
    Install(#[from] tracing_subscriber::util::TryInitError),
}

/// What a main holds until its end.
#[derive(Debug)]
pub struct Telemetry {
    /// The process's metrics.
    pub metrics: Arc<Metrics>,
    traces: Option<Traces>,
}

impl Telemetry {
    /// Starts logs (to stderr), traces (if configured) and metrics, installs the panic hook and the crypto provider. Once a process, first
    /// thing in main.
    pub fn start(service: Service, args: &LogArgs) -> Result<Self, TelemetryError> {
        Self::start_with(service, args, Sink::stderr())
    }

    /// As [`Self::start`], with log lines going elsewhere, such as above progress bars.
    pub fn start_with(service: Service, args: &LogArgs, sink: Sink) -> Result<Self, TelemetryError> {
        let environment: Environment<'_> = &process_environment;
        install_crypto();
        let metrics = Metrics::new()?;
        metrics.build_info.set(&Build { name: service.name, version: service.version }, 1.0);
        let lines = logs::layer(args, service.level, sink, environment)?;
        let traces = Traces::start(service, environment)?;
        tracing_subscriber::registry().with(lines).with(traces.as_ref().map(Traces::layer)).try_init()?;
        panics::install_hook();
        Ok(Self { metrics: Arc::new(metrics), traces })
    }

    /// Makes a root span part of the trace that the environment variable `TRACEPARENT` names (a Job started by a traced process). Call it
    /// before the span is entered; without traces or without the variable nothing happens.
    pub fn adopt(&self, root: &Span) {
        if let Some(traces) = &self.traces {
            traces.adopt(root);
        }
    }

    /// Sends the last spans, for at most five seconds. Blocks: call it at the very end of main, outside or after the async part.
    pub fn shutdown(mut self) {
        self.flush();
    }

    fn flush(&mut self) {
        if let Some(traces) = self.traces.take()
            && let Err(error) = traces.shutdown(FLUSH_LIMIT)
        {
            tracing::warn!(error = redact::chain(&error), "the last spans may not have reached the collector");
        }
    }
}

impl Drop for Telemetry {
    /// For mains that leave early by `?`.
    fn drop(&mut self) {
        self.flush();
    }
}

/// Makes aws-lc-rs the process's crypto provider: rustls panics at its first use where two are linked and none is chosen. Calling it again
/// changes nothing. [`Telemetry::start`] does it; tests that open TLS connections without telemetry call it themselves.
pub fn install_crypto() {
    // An error only says that a provider was installed before.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crypto_provider_is_installed_and_twice_does_no_harm() {
        install_crypto();
        install_crypto();
        assert!(rustls::crypto::CryptoProvider::get_default().is_some());
    }
}
