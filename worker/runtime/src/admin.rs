//! The admin port of long-lived processes: `/livez`, `/readyz` (which names what is missing) and `/metrics`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::redact;

/// How long open connections may take to finish once the port closes.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);
/// Prometheus gives up after 10 seconds by default; numbers from the database must not cost the others.
const REFRESH_LIMIT: Duration = Duration::from_secs(5);

/// The options of long-lived processes; to be flattened.
#[derive(Debug, Clone, Args)]
pub struct AdminArgs {
    /// Where /livez, /readyz and /metrics are served
    #[arg(long, env = "WATCHSTATE_ADMIN_ADDRESS", default_value = "0.0.0.0:9090", value_name = "ADDRESS")]
    pub admin_address: SocketAddr,
}

/// The admin port can't be served.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address is taken or isn't ours.
    #[error("could not listen on {address}; choose another with --admin-address or WATCHSTATE_ADMIN_ADDRESS")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The listener broke.
    #[error("the admin port stopped serving")]
    Serve(#[source] std::io::Error),
}

/// What the process needs before it is of use, by name. Ready when nothing is missing and it isn't draining. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Readiness {
    missing: Arc<Mutex<BTreeSet<&'static str>>>,
    /// What is away without keeping the process from its work.
    away: Arc<Mutex<BTreeSet<&'static str>>>,
    draining: CancellationToken,
}

impl Readiness {
    /// Nothing is missing yet. `draining`: [`crate::shutdown::Shutdown::soft`]; once it is cancelled no new work should come.
    pub fn new(draining: CancellationToken) -> Self {
        Self { missing: Arc::default(), away: Arc::default(), draining }
    }

    /// Names a dependency (`database`, `registry`), missing until its handle says otherwise.
    pub fn require(&self, name: &'static str) -> Dependency {
        let dependency = Dependency { name, missing: self.missing.clone() };
        dependency.set(false);
        dependency
    }

    /// Names a dependency that the process can do without for a while: that it is away is told, and the process stays ready.
    pub fn tell(&self, name: &'static str) -> Dependency {
        let dependency = Dependency { name, missing: self.away.clone() };
        dependency.set(false);
        dependency
    }

    /// What is away and can be done without, by name.
    pub fn away(&self) -> Vec<&'static str> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    /// What keeps the process from being ready, by name; empty: it is ready.
    pub fn missing(&self) -> Vec<&'static str> {
        let missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        missing.iter().copied().chain(self.draining.is_cancelled().then_some("shutting down")).collect()
    }
}

/// One thing that the process needs.
#[derive(Debug, Clone)]
pub struct Dependency {
    name: &'static str,
    missing: Arc<Mutex<BTreeSet<&'static str>>>,
}

impl Dependency {
    /// It is there, or no longer.
    pub fn set(&self, there: bool) {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        if there {
            missing.remove(self.name);
        } else {
            missing.insert(self.name);
        }
    }
}

/// Brings gauges up to date that are read from the database, such as the outbox and the last runs; called before each scrape.
pub type Refresh = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// What the routes show.
#[derive(Clone)]
struct Shown {
    readiness: Readiness,
    metrics: Arc<Metrics>,
    refresh: Option<Refresh>,
}

/// The three routes.
pub fn router(readiness: Readiness, metrics: Arc<Metrics>, refresh: Option<Refresh>) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
        .with_state(Shown { readiness, metrics, refresh })
}

async fn readyz(State(shown): State<Shown>) -> Response {
    let (missing, away) = (shown.readiness.missing(), shown.readiness.away());
    if missing.is_empty() && away.is_empty() {
        return "ok\n".into_response();
    }
    if missing.is_empty() {
        return format!("ok, though away for now: {}\n", away.join(", ")).into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", missing.join(", "))).into_response()
}

async fn scrape(State(shown): State<Shown>) -> Response {
    if let Some(refresh) = &shown.refresh
        && tokio::time::timeout(REFRESH_LIMIT, refresh()).await.is_err()
    {
        tracing::warn!("metrics from the database took too long; the last known ones are exported");
    }
    match shown.metrics.encode() {
        Ok(text) => ([(CONTENT_TYPE, Metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(error = redact::chain(&error), "metrics could not be encoded");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// The port, bound and not served yet: that an address is taken is known before anything else starts.
#[derive(Debug)]
pub struct AdminServer {
    listener: TcpListener,
    address: SocketAddr,
}

impl AdminServer {
    /// Binds the address; port 0 takes any that is free.
    pub async fn bind(args: &AdminArgs) -> Result<Self, AdminError> {
        let failed = |source| AdminError::Bind { address: args.admin_address, source };
        let listener = TcpListener::bind(args.admin_address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        tracing::info!(%address, "admin port listens");
        Ok(Self { listener, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is cancelled: after the work has drained, not before, or a liveness probe would kill what is draining.
    pub async fn serve(self, routes: Router, stop: CancellationToken) -> Result<(), AdminError> {
        let closed = stop.clone();
        let serving = axum::serve(self.listener, routes).with_graceful_shutdown(closed.cancelled_owned());
        let limit = async {
            stop.cancelled().await;
            tokio::time::sleep(CLOSE_LIMIT).await;
        };
        tokio::select! {
            served = serving => served.map_err(AdminError::Serve),
            () = limit => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use clap::Parser;
    use http_body_util::BodyExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tower::ServiceExt;

    use crate::metrics::{Server, ServerName};

    use super::*;

    async fn ask(routes: &Router, path: &str) -> (StatusCode, String) {
        let answer = routes.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    fn routes(readiness: &Readiness) -> Router {
        router(readiness.clone(), Arc::new(Metrics::new().unwrap()), None)
    }

    #[tokio::test]
    async fn what_can_be_done_without_is_told_and_keeps_nobody_from_being_ready() {
        let readiness = Readiness::new(CancellationToken::new());
        let database = readiness.tell("database");
        let routes = routes(&readiness);
        assert_eq!(ask(&routes, "/readyz").await, (StatusCode::OK, "ok, though away for now: database\n".to_owned()));
        database.set(true);
        assert_eq!(ask(&routes, "/readyz").await, (StatusCode::OK, "ok\n".to_owned()));
    }

    #[tokio::test]
    async fn readiness_names_what_is_missing_and_liveness_does_not_care() {
        let draining = CancellationToken::new();
        let readiness = Readiness::new(draining.clone());
        let (registry, database) = (readiness.require("registry"), readiness.require("database"));
        let routes = routes(&readiness);

        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        assert_eq!(ask(&routes, "/readyz").await, (unavailable, "not ready: database, registry\n".to_owned()));
        assert_eq!(ask(&routes, "/livez").await.0, StatusCode::OK);
        registry.set(true);
        assert_eq!(ask(&routes, "/readyz").await, (unavailable, "not ready: database\n".to_owned()));
        database.set(true);
        assert_eq!(ask(&routes, "/readyz").await, (StatusCode::OK, "ok\n".to_owned()));
        database.set(false);
        assert_eq!(ask(&routes, "/readyz").await.0, unavailable);
        database.set(true);
        draining.cancel();
        assert_eq!(ask(&routes, "/readyz").await, (unavailable, "not ready: shutting down\n".to_owned()));
        assert_eq!(ask(&routes, "/livez").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn a_scrape_brings_numbers_of_the_database_up_to_date_first() {
        let metrics = Arc::new(Metrics::new().unwrap());
        let refreshed = metrics.clone();
        let refresh: Refresh = Arc::new(move || {
            refreshed.held_plans.set(&Server { server: ServerName::configured("home") }, 1.0);
            Box::pin(std::future::ready(()))
        });
        let routes = router(Readiness::new(CancellationToken::new()), metrics, Some(refresh));
        let (status, text) = ask(&routes, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(text.contains("watchstate_held_plans{server=\"home\"} 1\n"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_database_that_hangs_does_not_cost_the_other_metrics() {
        let metrics = Arc::new(Metrics::new().unwrap());
        metrics.held_plans.set(&Server { server: ServerName::configured("home") }, 2.0);
        let hangs: Refresh = Arc::new(|| Box::pin(std::future::pending()));
        let routes = router(Readiness::new(CancellationToken::new()), metrics, Some(hangs));
        assert!(ask(&routes, "/metrics").await.1.contains("watchstate_held_plans{server=\"home\"} 2\n"));
    }

    #[tokio::test]
    async fn the_port_serves_over_tcp_until_it_is_stopped() {
        let args = AdminArgs { admin_address: ([127, 0, 0, 1], 0).into() };
        let server = AdminServer::bind(&args).await.unwrap();
        let address = server.address();
        let stop = CancellationToken::new();
        let serving = tokio::spawn(server.serve(routes(&Readiness::new(CancellationToken::new())), stop.clone()));

        let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
        connection.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");

        stop.cancel();
        serving.await.unwrap().unwrap();
        assert!(tokio::net::TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_named_with_the_option_that_changes_it() {
        let taken = AdminServer::bind(&AdminArgs { admin_address: ([127, 0, 0, 1], 0).into() }).await.unwrap();
        let error = AdminServer::bind(&AdminArgs { admin_address: taken.address() }).await.unwrap_err();
        let expected = format!("could not listen on {}; choose another with --admin-address", taken.address());
        assert!(error.to_string().starts_with(&expected), "{error}");
    }

    #[test]
    fn the_address_has_a_default() {
        #[derive(Parser)]
        struct Cli {
            #[command(flatten)]
            admin: AdminArgs,
        }
        assert_eq!(Cli::parse_from(["x"]).admin.admin_address, ([0, 0, 0, 0], 9090).into());
    }
}
