//! One way to send requests to all servers: limits, repeats, traces, and answers that are whole or an error.

mod body;
mod failure;
mod repeat;
#[cfg(test)]
mod tests;
mod trust;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use http::Method;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use opentelemetry_http::HeaderInjector;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Semaphore;
use tracing::{Instrument, Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use url::Url;
use watchstate_domain::item::ServerKind;

use crate::connection::{Connection, RequestObserver, Tls};
use crate::error::{ErrorKind, ServerError};
use crate::operation::Operation;
use crate::{Limits, Result};

use failure::Failure;
use repeat::Tries;
pub(crate) use repeat::{Repeat, date};

/// The version that we name to servers.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The name by which servers list us.
pub(crate) const PRODUCT: &str = "Watch State Sync";

/// For requests without a query.
pub(crate) const NO_QUERY: &[(&str, &str)] = &[];

/// One request, whole.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) operation: Operation,
    pub(crate) method: Method,
    /// The path with names in place of ids: what spans show.
    pub(crate) route: &'static str,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Body>,
    pub(crate) repeat: Repeat,
    /// The token it carries, so that no excerpt of an answer shows it.
    pub(crate) token: Option<SecretString>,
    /// The answer holds secrets: nothing of it is ever shown.
    pub(crate) secret_answer: bool,
    /// What to do about a 401.
    pub(crate) if_refused: &'static str,
}

/// What a request carries.
pub(crate) struct Body {
    content_type: &'static str,
    bytes: Vec<u8>,
}

/// Logins and addresses with tokens are in bodies.
impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes of {}", self.bytes.len(), self.content_type)
    }
}

/// An answer with a status of success.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// A server's end of the wire. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Http(Arc<Inner>);

struct Inner {
    client: reqwest::Client,
    base: Url,
    server: Arc<str>,
    kind: ServerKind,
    timeout: Duration,
    slots: Semaphore,
    rate: Option<DefaultDirectRateLimiter>,
    observer: Arc<dyn RequestObserver>,
    backoff: ExponentialBuilder,
}

impl Http {
    /// A client for the server itself.
    pub(crate) fn new(connection: &Connection) -> Result<Self> {
        let (url, limits) = (connection.url.clone(), &connection.limits);
        Self::build(connection, url, &connection.name, &connection.tls, limits, Duration::from_secs(10))
    }

    /// A client for plex.tv: public trust, few requests at a time, and no patience, since it is seldom needed.
    pub(crate) fn plex_tv(connection: &Connection) -> Result<Self> {
        let limits = Limits {
            concurrency: 2,
            requests_per_second: None,
            timeout: connection.limits.timeout.min(Duration::from_secs(20)),
            ..connection.limits.clone()
        };
        let name = format!("{} (plex.tv)", connection.name);
        Self::build(connection, connection.plex_tv.clone(), &name, &Tls::default(), &limits, Duration::from_secs(5))
    }

    fn build(
        connection: &Connection,
        base: Url,
        name: &str,
        tls: &Tls,
        limits: &Limits,
        connect_timeout: Duration,
    ) -> Result<Self> {
        let server: Arc<str> = Arc::from(name);
        let wrong = |problem: String| ServerError::new(&server, Operation::Identify, ErrorKind::Configuration, problem);
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(wrong("the url must begin with http:// or https:// and name a host".to_owned()));
        }
        let rate = limits.requests_per_second.map(limiter).transpose().map_err(&wrong)?;
        let unusable = "no client for this TLS configuration can be made";
        let named = tls.ca_pem.as_ref().map(|pem| {
            let none = || wrong("the Secret of tls.caSecretRef holds no certificate in PEM".to_owned());
            trust::certificates(pem).ok_or_else(none)
        });
        let named = named.transpose()?;
        let mut client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(limits.timeout.min(connect_timeout))
            // Repeating is decided here, where it is known what may be repeated.
            .retry(reqwest::retry::never());
        client = if base.scheme() == "http" {
            // Nobody is trusted by a certificate, also where the system has none; redirects aren't followed.
            client.tls_certs_only([])
        } else if tls.insecure_skip_verify {
            client.tls_danger_accept_invalid_certs(true)
        } else {
            let trusted = named.map_or_else(trust::public, trust::private);
            client.tls_backend_preconfigured(trusted.map_err(|error| wrong(unusable.to_owned()).caused_by(error))?)
        };
        let client = client.build().map_err(|error| wrong(unusable.to_owned()).caused_by(error))?;
        Ok(Self(Arc::new(Inner {
            client,
            base,
            server,
            kind: connection.kind,
            timeout: limits.timeout,
            slots: Semaphore::new(limits.concurrency),
            rate,
            observer: Arc::clone(&connection.observer),
            backoff: repeat::backoff(),
        })))
    }

    /// The name of the server, for messages.
    pub(crate) fn server(&self) -> &Arc<str> {
        &self.0.server
    }

    /// An error of this server.
    pub(crate) fn error(&self, operation: Operation, kind: ErrorKind, problem: impl Into<String>) -> ServerError {
        ServerError::new(&self.0.server, operation, kind, problem)
    }

    /// A request to `route`, whose `{names}` are replaced by `ids` in their order; reads until told otherwise.
    pub(crate) fn request<K: AsRef<str>, V: AsRef<str>>(
        &self,
        operation: Operation,
        route: &'static str,
        ids: &[&str],
        query: &[(K, V)],
    ) -> Request {
        Request {
            operation,
            method: Method::GET,
            route,
            url: address(&self.0.base, route, ids, query),
            headers: HeaderMap::new(),
            body: None,
            repeat: Repeat::Harmless,
            token: None,
            secret_answer: false,
            if_refused: "the token was refused (401): renew it in the Secret that tokenSecretRef names",
        }
    }

    /// Sends a request, repeats it where that helps and does no harm, and returns the whole answer.
    pub(crate) async fn send(&self, request: &Request) -> Result<Answer> {
        let mut tries = Tries::default();
        (|| self.attempt(request))
            .retry(self.0.backoff)
            .when(|failure| tries.again(failure.cause, request.repeat))
            .adjust(|failure, pause| pause.map(|pause| failure.error.retry_after.unwrap_or(pause)))
            .notify(|failure, pause| {
                tracing::debug!(error = %failure.error, pause_ms = pause.as_millis(), "trying again");
            })
            .await
            .map_err(|failure| failure.error)
    }

    async fn attempt(&self, request: &Request) -> std::result::Result<Answer, Failure> {
        let inner = &*self.0;
        // Nobody closes the semaphore; without a slot the request would only come early.
        let _slot = inner.slots.acquire().await.ok();
        if let Some(rate) = &inner.rate {
            rate.until_ready().await;
        }
        let span = tracing::debug_span!(
            "request",
            otel.name = %format_args!("{} {}", request.method, request.route),
            otel.kind = "client",
            server = &*inner.server,
            http.request.method = %request.method,
            http.route = request.route,
            http.response.status_code = field::Empty,
            error.type = field::Empty,
        );
        let start = Instant::now();
        let outcome = self.exchange(request, &span).instrument(span.clone()).await;
        let told = outcome.as_ref().map(|_| ()).map_err(|failure| failure.error.kind());
        if let Err(kind) = told {
            span.record("error.type", kind.as_str());
        }
        inner.observer.request(inner.kind, &inner.server, request.operation.as_str(), told, start.elapsed());
        outcome
    }

    async fn exchange(&self, request: &Request, span: &Span) -> std::result::Result<Answer, Failure> {
        let mut headers = request.headers.clone();
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("watchstate/", env!("CARGO_PKG_VERSION"))));
        let context = if span.is_disabled() { Span::current().context() } else { span.context() };
        opentelemetry::global::get_text_map_propagator(|propagator| {
            propagator.inject_context(&context, &mut HeaderInjector(&mut headers));
        });
        let mut outgoing =
            self.0.client.request(request.method.clone(), request.url.clone()).timeout(self.0.timeout).headers(headers);
        if let Some(Body { content_type, bytes }) = &request.body {
            outgoing = outgoing.header(CONTENT_TYPE, *content_type).body(bytes.clone());
        }
        let response = outgoing.send().await.map_err(|error| self.not_sent(request, error))?;
        let status = response.status();
        span.record("http.response.status_code", status.as_u16());
        let headers = response.headers().clone();
        let body = body::whole(response).await;
        if !status.is_success() {
            return Err(self.refusal(request, status, &headers));
        }
        match body {
            // Many answers to writes are empty, so the status alone speaks; but a page with a status of 200 is none of the server's.
            Ok(body) if request.operation.writes() && body::is_web_page(&body) => Err(self.web_page(request)),
            Ok(body) => Ok(Answer { headers, body }),
            // The status says that the write was done; nobody needs to read on.
            Err(_) if request.repeat == Repeat::OnlyIfRefused => Ok(Answer { headers, body: Vec::new() }),
            Err(problem) => Err(self.not_whole(request, problem)),
        }
    }

    /// Reads an answer as JSON. HTML, cut or other JSON is a bad answer.
    pub(crate) fn json<'a, T: Deserialize<'a>>(&self, request: &Request, answer: &'a Answer) -> Result<T> {
        serde_json::from_slice(&answer.body).map_err(|error| {
            let reason = if answer.body.trim_ascii_start().starts_with(b"<") {
                "HTML or XML came instead of JSON: is the url right, is a login page of a proxy in between?".to_owned()
            } else if error.is_eof() {
                "the JSON ends too early".to_owned()
            } else {
                // The library's own words may quote values.
                format!("unexpected JSON at line {} column {}", error.line(), error.column())
            };
            self.bad_answer(request, answer, &reason)
        })
    }

    /// An error about an answer, with its beginning where that can't hold a secret.
    pub(crate) fn bad_answer(&self, request: &Request, answer: &Answer, reason: &str) -> ServerError {
        let problem = if request.secret_answer || answer.body.is_empty() {
            reason.to_owned()
        } else {
            format!("{reason} (it begins: {})", body::excerpt(&answer.body, request.token.as_ref()))
        };
        self.error(request.operation, ErrorKind::BadAnswer, problem)
    }
}

impl Request {
    /// Adds a header whose value is ours and harmless.
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Turns it into a write.
    pub(crate) fn write(mut self, method: Method, repeat: Repeat) -> Self {
        self.method = method;
        self.repeat = repeat;
        self
    }

    /// Adds a body.
    pub(crate) fn json(mut self, body: &serde_json::Value) -> Self {
        self.body = Some(Body { content_type: "application/json", bytes: body.to_string().into_bytes() });
        self
    }

    /// Adds a body as a form.
    pub(crate) fn form<'f>(mut self, fields: impl IntoIterator<Item = (&'f str, &'f str)>) -> Self {
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.body = Some(Body { content_type: "application/x-www-form-urlencoded", bytes: form.into_bytes() });
        self
    }
}

/// A header value that no log shows. A line break at the end, as files often have it, is cut off; one inside is an error.
pub(crate) fn secret_value(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text.trim()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The text of a secret, without the line break that files often end with.
pub(crate) fn exposed(secret: &SecretString) -> &str {
    secret.expose_secret().trim()
}

/// A password may begin and end with spaces; the line break that files often end with is none of its own.
pub(crate) fn password(secret: &SecretString) -> &str {
    secret.expose_secret().trim_end_matches(['\r', '\n'])
}

fn limiter(per_second: f64) -> std::result::Result<DefaultDirectRateLimiter, String> {
    let wrong = || "limits.requestsPerSecond must be above 0".to_owned();
    if !per_second.is_finite() || per_second <= 0.0 {
        return Err(wrong());
    }
    let period = Duration::try_from_secs_f64(1.0 / per_second).map_err(|_| wrong())?;
    let quota = Quota::with_period(period).ok_or_else(wrong)?;
    Ok(RateLimiter::direct(quota.allow_burst(NonZeroU32::MIN)))
}

/// `base` keeps its own path; ids are encoded, so that none of them leads elsewhere.
fn address<K: AsRef<str>, V: AsRef<str>>(base: &Url, route: &str, ids: &[&str], query: &[(K, V)]) -> Url {
    let mut url = base.clone();
    url.set_fragment(None);
    url.set_query(None);
    let mut ids = ids.iter();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty();
        for segment in route.split('/').skip(1) {
            match segment.strip_prefix('{').and_then(|_| ids.next()) {
                Some(id) => path.push(id),
                None => path.push(segment),
            };
        }
    }
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    url
}
