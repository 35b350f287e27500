//! Spans of calls that outlive the code that begins them, such as a streamed answer, with attributes of every type: what
//! spans of `tracing` cannot have. Without traces there are none, and nothing is made for them.

use http::HeaderMap;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{SpanKind, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::HeaderInjector;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::TRACER;

/// A call of another service, or of something that is like one. It ends when it is dropped.
#[derive(Debug)]
pub struct CallSpan(Context);

impl CallSpan {
    /// Begin one within the span that we are in; `None` where this process sends no traces, and then nobody asks for
    /// its name and attributes.
    pub fn begin(
        kind: SpanKind,
        describe: impl FnOnce() -> (String, Vec<KeyValue>),
    ) -> Option<Self> {
        let tracer = TRACER.get()?;
        let (name, attributes) = describe();
        let parent = Span::current().context();
        let span = tracer
            .span_builder(name)
            .with_kind(kind)
            .with_attributes(attributes)
            .start_with_context(tracer, &parent);
        Some(Self(parent.with_span(span)))
    }

    /// Say more of it.
    pub fn set(&self, attribute: KeyValue) {
        self.0.span().set_attribute(attribute);
    }

    /// It failed. Why is for an attribute to say: a text might hold what was said.
    pub fn fail(&self) {
        self.0.span().set_status(Status::error(""));
    }

    /// Tell the service that is called of it.
    pub fn pass_on(&self, headers: &mut HeaderMap) {
        TraceContextPropagator::new().inject_context(&self.0, &mut HeaderInjector(headers));
    }
}

impl Drop for CallSpan {
    fn drop(&mut self) {
        self.0.span().end();
    }
}
