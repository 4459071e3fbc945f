//! Traces by OTLP over HTTP, when an endpoint is configured; nothing at all otherwise. Every exported text is scrubbed like a log line.

use std::collections::HashMap;
use std::time::Duration;

use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Status, TraceContextExt, TracerProvider};
use opentelemetry::{Array, Context, KeyValue, StringValue, Value, global};
use opentelemetry_otlp::{Protocol, SpanExporter as OtlpExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanData, SpanExporter};
use tracing::{Level, Metadata, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;
use url::Url;

use crate::{Environment, Service, logs, redact};

/// The OTLP settings can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The endpoint is no address.
    #[error("{variable} is not valid; expected an address such as http://collector:4318")]
    Endpoint {
        /// The environment variable.
        variable: &'static str,
    },
    /// The ratio is none.
    #[error("OTEL_TRACES_SAMPLER_ARG is not valid; expected a number from 0 to 1")]
    Ratio,
    /// The exporter could not be made.
    #[error("could not make the OTLP exporter; check the OTEL_EXPORTER_OTLP_* variables")]
    Exporter(#[source] opentelemetry_otlp::ExporterBuildError),
}

/// What the environment asks for.
#[derive(Debug, PartialEq)]
struct Settings {
    endpoint: Url,
    /// None: `OTEL_TRACES_SAMPLER` names a sampler, which the SDK reads by itself.
    ratio: Option<f64>,
    /// The trace that started this process, as W3C headers.
    parent: HashMap<String, String>,
}

impl Settings {
    /// As the OpenTelemetry specification has it: the address for traces is used as it is, the common one gets `/v1/traces`.
    /// None: no traces are wanted.
    fn read(environment: Environment<'_>) -> Result<Option<Self>, TracesError> {
        let is = |name, value: &str| environment(name).is_some_and(|set| set.eq_ignore_ascii_case(value));
        if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
            return Ok(None);
        }
        let address = |variable, suffix: &str| {
            let Some(text) = environment(variable) else { return Ok(None) };
            let address = format!("{}{suffix}", if suffix.is_empty() { &text } else { text.trim_end_matches('/') });
            match Url::parse(&address) {
                Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(Some(url)),
                _ => Err(TracesError::Endpoint { variable }),
            }
        };
        let Some(endpoint) = (match address("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "")? {
            Some(own) => Some(own),
            None => address("OTEL_EXPORTER_OTLP_ENDPOINT", "/v1/traces")?,
        }) else {
            return Ok(None);
        };
        let ratio = match (environment("OTEL_TRACES_SAMPLER"), environment("OTEL_TRACES_SAMPLER_ARG")) {
            (Some(_), _) => None,
            (None, None) => Some(1.0),
            (None, Some(text)) => {
                let ratio = text.trim().parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
                Some(ratio.ok_or(TracesError::Ratio)?)
            }
        };
        let parent = [("traceparent", "TRACEPARENT"), ("tracestate", "TRACESTATE")]
            .into_iter()
            .filter_map(|(header, variable)| Some((header.to_owned(), environment(variable)?)))
            .collect();
        Ok(Some(Self { endpoint, ratio, parent }))
    }
}

/// The running exporter: a thread of its own with a blocking client, since an async one must not be driven by a thread of the SDK's.
#[derive(Debug)]
pub(crate) struct Traces {
    provider: SdkTracerProvider,
    parent: Option<Context>,
    name: &'static str,
}

impl Traces {
    /// Starts the exporter if the environment asks for traces, and sets the W3C propagator, by which clients and servers pass the context on.
    pub(crate) fn start(service: Service, environment: Environment<'_>) -> Result<Option<Self>, TracesError> {
        let Some(settings) = Settings::read(environment)? else { return Ok(None) };
        let exporter = OtlpExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(settings.endpoint)
            .build()
            .map_err(TracesError::Exporter)?;
        let mut resource = Resource::builder().with_attribute(KeyValue::new("service.version", service.version));
        if environment("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name(service.name);
        }
        let mut provider =
            SdkTracerProvider::builder().with_resource(resource.build()).with_batch_exporter(Scrubbed(exporter));
        if let Some(ratio) = settings.ratio {
            provider = provider.with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))));
        }
        let propagator = TraceContextPropagator::new();
        let parent = propagator.extract_with_context(&Context::new(), &settings.parent);
        let parent = parent.span().span_context().is_valid().then_some(parent);
        global::set_text_map_propagator(propagator);
        Ok(Some(Self { provider: provider.build(), parent, name: service.name }))
    }

    /// The layer that exports spans, and events at info and above, independent of the log's level. Our own spans down to debug: those of
    /// requests to media servers. Spans of HTTP libraries are left out: the exporter's own requests would never end.
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer(self.name))
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(is_exported))
    }

    /// Makes the span part of the trace that `TRACEPARENT` names, if it names one. Only before the span is first entered.
    pub(crate) fn adopt(&self, span: &Span) {
        if let Some(parent) = &self.parent
            && let Err(error) = span.set_parent(parent.clone())
        {
            tracing::debug!(%error, "the span could not join the trace of TRACEPARENT");
        }
    }

    /// Sends what is left, within `limit`. Blocks.
    pub(crate) fn shutdown(&self, limit: Duration) -> OTelSdkResult {
        self.provider.shutdown_with_timeout(limit)
    }
}

fn is_exported(metadata: &Metadata<'_>) -> bool {
    let ours = metadata.is_span() && metadata.target().starts_with(logs::OURS);
    *metadata.level() <= if ours { Level::DEBUG } else { Level::INFO } && !logs::is_wire(metadata)
}

/// Masks secrets in everything that leaves with a span.
#[derive(Debug)]
struct Scrubbed<E>(E);

impl<E: SpanExporter> SpanExporter for Scrubbed<E> {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        for span in &mut batch {
            span.attributes.iter_mut().for_each(scrub);
            for event in &mut span.events.events {
                scrub_text(&mut event.name);
                event.attributes.iter_mut().for_each(scrub);
            }
            if let Status::Error { description } = &mut span.status {
                scrub_text(description);
            }
        }
        self.0.export(batch).await
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

fn scrub(attribute: &mut KeyValue) {
    if redact::is_secret(attribute.key.as_str()) {
        attribute.value = redact::MASK.into();
        return;
    }
    let masked = |text: &StringValue| StringValue::from(redact::scrub(text.as_str()).into_owned());
    match &mut attribute.value {
        Value::String(text) => *text = masked(text),
        Value::Array(Array::String(texts)) => texts.iter_mut().for_each(|text| *text = masked(text)),
        _ => {}
    }
}

fn scrub_text(text: &mut std::borrow::Cow<'static, str>) {
    *text = redact::scrub(text).into_owned().into();
}

#[cfg(test)]
mod export;

#[cfg(test)]
mod tests {
    use super::*;

    type Set<'a> = &'a [(&'a str, &'a str)];

    fn settings(set: Set<'_>) -> Result<Option<Settings>, TracesError> {
        Settings::read(&|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_endpoint_is_read_as_the_specification_has_it() {
        let table: [(Set<'_>, Option<&str>); 6] = [
            (&[], None),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318")], Some("http://c:4318/v1/traces")),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/base/")], Some("http://c:4318/base/v1/traces")),
            (
                &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"), ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://t/x")],
                Some("https://t/x"),
            ),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"), ("OTEL_SDK_DISABLED", "true")], None),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"), ("OTEL_TRACES_EXPORTER", "none")], None),
        ];
        for (set, endpoint) in table {
            let read = settings(set).unwrap().map(|settings| settings.endpoint.to_string());
            assert_eq!(read.as_deref(), endpoint, "{set:?}");
        }
    }

    #[test]
    fn a_setting_that_makes_no_sense_is_refused_by_name_and_not_by_its_value() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
        let table: [(Set<'_>, &str); 4] = [
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "me:s3cret@collector")], "OTEL_EXPORTER_OTLP_ENDPOINT is not valid"),
            (&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "ftp://c")], "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is not valid"),
            (&[endpoint, ("OTEL_TRACES_SAMPLER_ARG", "many")], "OTEL_TRACES_SAMPLER_ARG is not valid"),
            (&[endpoint, ("OTEL_TRACES_SAMPLER_ARG", "1.5")], "OTEL_TRACES_SAMPLER_ARG is not valid"),
        ];
        for (set, message) in table {
            let error = settings(set).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
            assert!(!error.contains("s3cret"));
        }
    }

    #[test]
    fn all_traces_are_kept_unless_a_ratio_or_a_sampler_is_named() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
        let ratio = |set: Set<'_>| settings(set).unwrap().unwrap().ratio;
        assert_eq!(ratio(&[endpoint]), Some(1.0));
        assert_eq!(ratio(&[endpoint, ("OTEL_TRACES_SAMPLER_ARG", "0.25")]), Some(0.25));
        assert_eq!(ratio(&[endpoint, ("OTEL_TRACES_SAMPLER", "always_off")]), None);
    }

    #[test]
    fn a_secret_in_an_attribute_is_masked_by_its_name_or_by_its_text() {
        let table = [
            (KeyValue::new("token", "s3cret"), KeyValue::new("token", "***")),
            (KeyValue::new("pin", 1234), KeyValue::new("pin", "***")),
            (KeyValue::new("url", "http://p/?X-Plex-Token=s3cret"), KeyValue::new("url", "http://p/?X-Plex-Token=***")),
            (KeyValue::new("read", 3), KeyValue::new("read", 3)),
        ];
        for (mut given, expected) in table {
            scrub(&mut given);
            assert_eq!(given, expected);
        }
    }
}
