//! How a server is reached, from what the household wants of it.

use std::sync::Arc;
use std::time::Duration;

use url::Url;
use watchstate_domain::item::ServerKind;
use watchstate_runtime::metrics::{self, Kind, Metrics, Operation, RequestOutcome, ServerName};
use watchstate_servers::{Connection, Credentials, ErrorKind, Limits, RequestObserver, Tls};
use watchstate_store::registry::ServerPolicy;

/// A server that is to be reached.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The MediaServer's name.
    pub name: &'a str,
    /// What it is.
    pub kind: ServerKind,
    /// Where it is.
    pub url: Url,
    /// What is wanted of it.
    pub policy: &'a ServerPolicy,
    /// What it is reached with.
    pub credentials: Credentials,
    /// Certificates of a private authority, in PEM.
    pub ca_pem: Option<Vec<u8>>,
}

impl Wanted<'_> {
    /// The connection, with its requests counted. `client_id`: what servers list us as; `plex_tv`: see [`Connection::plex_tv`].
    pub fn connection(self, client_id: &str, plex_tv: &Url, metrics: &Arc<Metrics>) -> Connection {
        let Self { name, kind, url, policy, credentials, ca_pem } = self;
        let mut connection = Connection::new(name, kind, url, credentials, client_id, plex_tv.clone());
        connection.tls = Tls { ca_pem, insecure_skip_verify: policy.insecure_skip_verify };
        connection.limits = Limits {
            concurrency: policy.concurrency.max(1) as usize,
            requests_per_second: policy.requests_per_second.map(f64::from),
            timeout: Duration::from_millis(policy.timeout_ms),
            page_size: policy.page_size,
        };
        connection.observer = Arc::new(Observer(metrics.clone()));
        connection
    }
}

/// Tells the metrics of each request.
struct Observer(Arc<Metrics>);

impl RequestObserver for Observer {
    fn request(
        &self,
        kind: ServerKind,
        server: &str,
        operation: &'static str,
        outcome: Result<(), ErrorKind>,
        duration: Duration,
    ) {
        let outcome = match outcome {
            Ok(()) => Some(RequestOutcome::Ok),
            Err(kind) => RequestOutcome::named(kind.as_str()),
        };
        if let (Some(kind), Some(outcome)) = (Kind::named(kind.as_str()), outcome) {
            let operation = Operation::named(operation).unwrap_or(Operation::Other);
            let request = metrics::Request { server: ServerName::configured(server), kind, operation, outcome };
            self.0.observe_request(&request, duration);
        }
    }
}
