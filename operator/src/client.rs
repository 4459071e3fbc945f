//! The client of the API server: each of its requests is counted, and none but a watch waits for long.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::{Method, Request, Response};
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use tower::{BoxError, Layer, Service};
use watchstate_runtime::metrics::{ApiRequest, Metrics};

/// An answer that doesn't begin within this is none. A request that waits holds up its pass, and with it everything else about that object; by default,
/// for five minutes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client for a cluster.
pub fn counted(config: Config, metrics: Arc<Metrics>) -> Result<Client, kube::Error> {
    Ok(ClientBuilder::try_from(config)?.with_layer(&Counting(metrics)).build())
}

/// No answer began in time.
#[derive(Debug, thiserror::Error)]
#[error("the API server gave no answer within {} s", PATIENCE.as_secs())]
struct Silent;

/// Counts requests by method and code.
#[derive(Clone)]
struct Counting(Arc<Metrics>);

impl<S> Layer<S> for Counting {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, metrics: self.0.clone() }
    }
}

#[derive(Clone)]
struct Counted<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

impl<S, B> Service<Request<Body>> for Counted<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let method = word(request.method());
        let metrics = self.metrics.clone();
        // The answer to a watch begins with the first thing that happens.
        let limited = !is_watch(&request);
        let answering = self.inner.call(request);
        Box::pin(async move {
            let answer = if limited {
                tokio::time::timeout(PATIENCE, answering).await.unwrap_or_else(|_| Err(Silent.into()))
            } else {
                answering.await
            };
            let code = answer.as_ref().map_or("0", |answer| digits(answer.status().as_u16()));
            metrics.api_requests_total.inc(&ApiRequest { method, code });
            answer
        })
    }
}

fn is_watch(request: &Request<Body>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    url::form_urlencoded::parse(query.as_bytes()).any(|(name, value)| name == "watch" && value == "true")
}

/// A closed set.
fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "OTHER",
    }
}

/// The codes that API servers answer with; others by their class.
#[expect(clippy::match_overlapping_arm, reason = "single codes before their class")]
fn digits(code: u16) -> &'static str {
    match code {
        200 => "200",
        201 => "201",
        400 => "400",
        401 => "401",
        403 => "403",
        404 => "404",
        409 => "409",
        410 => "410",
        422 => "422",
        429 => "429",
        500 => "500",
        503 => "503",
        504 => "504",
        100..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use k8s_openapi::api::core::v1::Pod;
    use kube::Api;
    use kube::api::{ListParams, WatchParams};

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_not_answered_ends_and_a_watch_goes_on() {
        let silent = tower::service_fn(|_: Request<Body>| async {
            std::future::pending::<Result<Response<Body>, BoxError>>().await
        });
        let metrics = Arc::new(Metrics::new().unwrap());
        let pods: Api<Pod> = Api::namespaced(Client::new(Counting(metrics.clone()).layer(silent), "media"), "media");
        let listing = pods.list(&ListParams::default()).await.unwrap_err();
        assert!(watchstate_runtime::redact::chain(&listing).contains("no answer within 30 s"), "{listing:?}");
        assert_eq!(metrics.api_requests_total.get(&ApiRequest { method: "GET", code: "0" }), 1);
        let params = WatchParams::default();
        let watching = tokio::time::timeout(PATIENCE * 3, pods.watch(&params, "0").map(drop)).await;
        assert!(watching.is_err(), "it waits for what happens");
    }
}
