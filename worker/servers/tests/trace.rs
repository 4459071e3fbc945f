//! In a process of its own, since subscribers of other tests decide about spans as well.

use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use secrecy::SecretString;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use url::Url;
use watchstate_domain::item::ServerKind;
use watchstate_servers::{Connection, Credentials, connect};
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

#[tokio::test]
async fn the_trace_goes_on_at_the_server() {
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let provider = SdkTracerProvider::builder().build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    tracing_subscriber::registry().with(layer).init();
    let server = MockServer::start().await;
    Mock::given(path("/System/Info"))
        .respond_with(ResponseTemplate::new(200).set_body_string(r#"{"Id":"1","Version":"10.11.0"}"#))
        .mount(&server)
        .await;
    let url = Url::parse(&server.uri()).unwrap();
    let credentials = Credentials { token: Some(SecretString::from("token")), ..Credentials::default() };
    let connection = Connection::new("cinema", ServerKind::Jellyfin, url.clone(), credentials, "client-1", url);
    let client = connect(connection).unwrap();
    client.identify(&|| jiff::Timestamp::UNIX_EPOCH).await.unwrap();
    let parent = server.received_requests().await.unwrap()[0].headers["traceparent"].to_str().unwrap().to_owned();
    let parts: Vec<&str> = parent.split('-').collect();
    assert!(matches!(parts[..], ["00", trace, span, "01"] if trace.len() == 32 && span.len() == 16), "{parent}");
}
