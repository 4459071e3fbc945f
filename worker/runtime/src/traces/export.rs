//! The whole way of a span, from the macro to an OTLP receiver.

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use opentelemetry::propagation::Injector;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span as ProtoSpan;
use prost::Message;
use tokio::sync::mpsc;
use tracing_subscriber::layer::SubscriberExt;

use super::*;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

const SERVICE: Service = Service { name: "watchstate-test", version: "1.2.3", level: Level::INFO };

/// A collector that passes on what it receives.
async fn collector() -> (String, mpsc::UnboundedReceiver<ExportTraceServiceRequest>) {
    async fn receive(State(sender): State<mpsc::UnboundedSender<ExportTraceServiceRequest>>, body: Bytes) {
        sender.send(ExportTraceServiceRequest::decode(body).unwrap()).unwrap();
    }
    let (sender, receiver) = mpsc::unbounded_channel();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let routes = Router::new().route("/v1/traces", post(receive)).with_state(sender);
    tokio::spawn(async { axum::serve(listener, routes).await });
    (address, receiver)
}

fn start(set: &[(&str, &str)]) -> Traces {
    let read = |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    Traces::start(SERVICE, &read).unwrap().unwrap()
}

/// Does the work with these traces and ends them.
async fn traced(traces: Traces, work: impl FnOnce(&Traces) + Send + 'static) {
    tokio::task::spawn_blocking(move || {
        tracing::subscriber::with_default(tracing_subscriber::registry().with(traces.layer()), || work(&traces));
        traces.shutdown(Duration::from_secs(10)).unwrap();
    })
    .await
    .unwrap();
}

fn spans(request: &ExportTraceServiceRequest) -> Vec<&ProtoSpan> {
    request.resource_spans.iter().flat_map(|spans| &spans.scope_spans).flat_map(|spans| &spans.spans).collect()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_reach_the_collector_before_the_end_with_the_services_name_and_no_secret() {
    let (address, mut received) = collector().await;
    let traces = start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &address)]);
    traced(traces, |_| {
        let _import = tracing::info_span!("import", server = "home").entered();
        let _page = tracing::debug_span!("request", page = 1).entered();
        let _other = tracing::debug_span!(target: "sqlx", "not exported").entered();
        let _wire = tracing::info_span!(target: "hyper::client", "not exported").entered();
        let _read = tracing::info_span!("read", url = "http://plex/?X-Plex-Token=s3cret").entered();
        tracing::debug!("not exported");
        tracing::info!(token = "s3cret", "asked with Authorization: s3cret");
    })
    .await;

    let request = received.try_recv().expect("everything had arrived when shutdown returned");
    let mut names: Vec<_> = spans(&request).iter().map(|span| span.name.clone()).collect();
    names.sort();
    assert_eq!(names, ["import", "read", "request"]);
    let shown = format!("{request:?}");
    for expected in ["watchstate-test", "service.version", "1.2.3", "X-Plex-Token=***"] {
        assert!(shown.contains(expected), "{expected} is missing in {shown}");
    }
    for hidden in ["s3cret", "not exported"] {
        assert!(!shown.contains(hidden), "{hidden} is in {shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_was_started_by_a_traced_one_continues_its_trace_and_passes_it_on() {
    struct Header(Option<String>);
    impl Injector for Header {
        fn set(&mut self, key: &str, value: String) {
            if key == "traceparent" {
                self.0 = Some(value);
            }
        }
    }

    let (address, mut received) = collector().await;
    let traces = start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &address), ("TRACEPARENT", PARENT)]);
    traced(traces, |traces| {
        let root = tracing::info_span!("root");
        traces.adopt(&root);
        let _inside = root.entered();
        let request = tracing::info_span!("request").entered();
        let mut header = Header(None);
        global::get_text_map_propagator(|propagator| propagator.inject_context(&request.context(), &mut header));
        let header = header.0.unwrap();
        assert!(header.starts_with(&format!("00-{TRACE}-")), "{header}");
        assert_ne!(header, PARENT);
    })
    .await;

    let request = received.try_recv().unwrap();
    let spans = spans(&request);
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE));
    let root = spans.iter().find(|span| span.name == "root").unwrap();
    assert_eq!(hex(&root.parent_span_id), "b7ad6b7169203331");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sent_where_the_sampler_keeps_nothing() {
    let (address, mut received) = collector().await;
    let traces = start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &address), ("OTEL_TRACES_SAMPLER_ARG", "0")]);
    traced(traces, |_| drop(tracing::info_span!("import").entered())).await;
    assert!(received.try_recv().is_err());
}

#[test]
fn a_collector_that_never_answers_does_not_hold_up_the_end() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", silent.local_addr().unwrap());
    let traces = start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &address)]);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(traces.layer()), || {
        drop(tracing::info_span!("import").entered());
    });
    let began = Instant::now();
    assert!(traces.shutdown(Duration::from_millis(200)).is_err());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn without_an_endpoint_there_are_no_traces() {
    assert!(Traces::start(SERVICE, &|_| None).unwrap().is_none());
}
