//! What both programs tell of themselves: log lines, and traces.
//!
//! Traces: spans of both programs, sent by OTLP where `OTEL_EXPORTER_OTLP_ENDPOINT` says where to.
//!
//! Only spans that we declare are sent, with the fields that stand in their declarations or are set by name, and no log
//! lines: so no secret and no message of a user can get into a trace by accident.

mod call_span;
pub mod logs;
#[cfg(feature = "receiver")]
pub mod receiver;
mod within;

use std::sync::OnceLock;

pub use call_span::CallSpan;
pub use opentelemetry::trace::SpanKind;
pub use opentelemetry::{Array, KeyValue, StringValue, Value};
pub use within::within;

use http::HeaderMap;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_otlp::{
    ExporterBuildError, HttpExporterBuilderSet, SpanExporter, SpanExporterBuilder,
    WithExportConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

/// Either turns traces on.
const ENDPOINTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
];
/// Set by whoever wants another name in the traces.
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";

/// Where callers name their trace.
const TRACEPARENT: &str = "traceparent";
/// The name of all our spans' scope.
const SCOPE: &str = "claw";
/// Set where this process sends traces: what they need is left out of each request where it does not.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Why traces cannot be sent.
#[derive(Debug, thiserror::Error)]
#[error(
    "failed to set up traces: check the variables OTEL_EXPORTER_OTLP_*; without {} there are none",
    ENDPOINTS[0]
)]
pub struct Error(#[from] ExporterBuildError);

/// The traces of this process; clones are the same. Spans are collected until [`finish`](Self::finish).
#[derive(Clone, Debug, Default)]
pub struct Traces(Option<SdkTracerProvider>);

impl Traces {
    /// As the environment says: off without an endpoint. `service` is the program's name.
    pub fn from_environment(service: &'static str) -> Result<Self, Error> {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        if !ENDPOINTS.into_iter().any(is_set) {
            return Ok(Self(None));
        }
        Self::to(SpanExporter::builder().with_http(), service)
    }

    /// To one address, whatever the environment says.
    pub fn to_endpoint(endpoint: &str, service: &'static str) -> Result<Self, Error> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(format!("{endpoint}/v1/traces"));
        Self::to(exporter, service)
    }

    fn to(
        exporter: SpanExporterBuilder<HttpExporterBuilderSet>,
        service: &'static str,
    ) -> Result<Self, Error> {
        // The client needs one for https. Somebody may have chosen before: it is the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let exporter = exporter.build()?;
        let mut resource = Resource::builder();
        if std::env::var_os(SERVICE_NAME).is_none() {
            resource = resource.with_service_name(service);
        }
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.build())
            .build();
        // Of several, as only tests have them, the first one gets the spans of calls.
        let _ = TRACER.set(provider.tracer(SCOPE));
        Ok(Self(Some(provider)))
    }

    /// Sends the spans of the crate `ours`; nothing where traces are off.
    pub fn layer<S>(&self, ours: &'static str) -> Option<Box<dyn Layer<S> + Send + Sync>>
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        let tracer = self.0.as_ref()?.tracer(SCOPE);
        let spans = filter_fn(move |metadata| {
            metadata.is_span() && metadata.target().split("::").next() == Some(ours)
        });
        let layer = tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(spans);
        Some(layer.boxed())
    }

    /// Send what is left. Blocks, for 5 seconds at most.
    pub fn finish(&self) {
        if let Some(Err(error)) = self.0.as_ref().map(SdkTracerProvider::shutdown) {
            tracing::warn!(%error, "the last spans could not be sent");
        }
    }
}

/// Whether this process sends traces.
pub fn is_on() -> bool {
    TRACER.get().is_some()
}

/// Make `span` part of the trace that a caller's `traceparent` names.
pub fn join(span: &Span, headers: &HeaderMap) {
    if !is_on() {
        return;
    }
    let caller = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
    // It fails for a span that no layer looks at, and then there is nothing to join.
    let _ = span.set_parent(caller);
}

/// The trace that a request belongs to, as 32 hexadecimal digits: the span's own, else the one that its caller names.
pub fn trace_id(span: &Span, headers: &HeaderMap) -> Option<String> {
    let name = |context: &opentelemetry::Context| {
        let context = context.span().span_context().clone();
        context.is_valid().then(|| context.trace_id().to_string())
    };
    let own = is_on().then(|| name(&span.context())).flatten();
    own.or_else(|| {
        headers.contains_key(TRACEPARENT).then_some(())?;
        name(&TraceContextPropagator::new().extract(&HeaderExtractor(headers)))
    })
}

/// The trace that a caller names, as headers for services that we call: without spans of our own, theirs follow the
/// caller's.
pub fn passage(headers: &HeaderMap) -> Option<HeaderMap> {
    if is_on() || !headers.contains_key(TRACEPARENT) {
        return None;
    }
    let propagator = TraceContextPropagator::new();
    let caller = propagator.extract(&HeaderExtractor(headers));
    let is_valid = caller.span().span_context().is_valid();
    is_valid.then(|| {
        let mut passed = HeaderMap::new();
        propagator.inject_context(&caller, &mut HeaderInjector(&mut passed));
        passed
    })
}
