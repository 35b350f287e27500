//! Calls of models as spans, with the names of OpenTelemetry's conventions for generative AI
//! (<https://github.com/open-telemetry/semantic-conventions-genai>): who was called with which parameters, what it cost,
//! how it ended. Never what was asked or answered.

mod attributes;

use claw_telemetry::{CallSpan, KeyValue, SpanKind, Value};
use http::{HeaderMap, StatusCode};
use tokio::time::Instant;

use crate::config::{Backend, ModelEntry};
use crate::error::GatewayError;
use crate::types::{ChatRequest, Usage};

/// One try of one model, up to the end of its answer. Nothing where no traces are sent.
#[derive(Debug)]
pub struct ModelCall(Option<Box<Open>>);

#[derive(Debug)]
struct Open {
    span: CallSpan,
    began: Instant,
    /// Nobody waits for it any longer.
    deadline: Instant,
    is_named: bool,
    /// By the number of the answer.
    finish_reasons: Vec<(u32, String)>,
    is_over: bool,
}

impl ModelCall {
    /// Without a span.
    pub fn untraced() -> Self {
        Self(None)
    }

    /// A model is called, whose answer must be over at the deadline.
    pub fn begin(entry: &ModelEntry, request: &ChatRequest, deadline: Instant) -> Self {
        let kind = match &entry.backend {
            Backend::Local(_) => SpanKind::Internal,
            Backend::Remote(_) => SpanKind::Client,
            // There is nobody to call.
            Backend::Unavailable { .. } => return Self(None),
        };
        let span = CallSpan::begin(kind, || attributes::of_request(entry, request));
        Self(span.map(|span| {
            Box::new(Open {
                span,
                began: Instant::now(),
                deadline,
                is_named: false,
                finish_reasons: Vec::new(),
                is_over: false,
            })
        }))
    }

    /// Whether anybody hears of it.
    pub fn is_traced(&self) -> bool {
        self.0.is_some()
    }

    /// Tell the API of the span.
    pub fn pass_on(&self, headers: &mut HeaderMap) {
        if let Some(open) = &self.0 {
            open.span.pass_on(headers);
        }
    }

    /// What the API answered with.
    pub fn status(&self, status: StatusCode) {
        self.set("http.response.status_code", || {
            i64::from(status.as_u16()).into()
        });
    }

    /// The first content of a stream is there.
    pub fn first_content(&self) {
        if let Some(open) = &self.0 {
            let after = open.began.elapsed().as_secs_f64();
            let name = "gen_ai.response.time_to_first_chunk";
            open.span.set(KeyValue::new(name, after));
        }
    }

    /// What the answer is called, and who says to have given it. The first one holds.
    pub fn named(&mut self, id: &str, model: &str) {
        let Some(open) = self.0.as_mut().filter(|open| !open.is_named) else {
            return;
        };
        // Some APIs say it in the second piece.
        open.is_named = !id.is_empty() || !model.is_empty();
        for (name, text) in [("gen_ai.response.id", id), ("gen_ai.response.model", model)] {
            if !text.is_empty() {
                open.span
                    .set(KeyValue::new(name, attributes::bounded(text)));
            }
        }
    }

    /// An answer of this number has ended.
    pub fn finished(&mut self, number: u32, reason: Option<&str>) {
        if let (Some(open), Some(reason)) = (&mut self.0, reason)
            && open.finish_reasons.len() < attributes::MOST_ANSWERS
        {
            open.finish_reasons
                .push((number, attributes::bounded(reason)));
        }
    }

    /// What it cost.
    pub fn used(&self, usage: &Usage) {
        if let Some(open) = &self.0 {
            for attribute in attributes::of_usage(usage) {
                open.span.set(attribute);
            }
        }
    }

    /// The answer is complete.
    pub fn complete(&mut self) {
        if let Some(open) = &mut self.0 {
            open.is_over = true;
        }
    }

    /// There is no answer, or not all of it.
    pub fn failed(&mut self, error: &GatewayError) {
        if let Some(open) = &mut self.0 {
            open.fail(error.metric_label());
        }
    }

    fn set(&self, name: &'static str, value: impl FnOnce() -> Value) {
        if let Some(open) = &self.0 {
            open.span.set(KeyValue::new(name, value()));
        }
    }
}

impl Open {
    fn fail(&mut self, reason: &'static str) {
        self.is_over = true;
        self.span.set(KeyValue::new("error.type", reason));
        self.span.fail();
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.is_over && Instant::now() >= self.deadline {
            self.fail("total_timeout");
        } else if !self.is_over {
            // The client left: nobody's fault.
            self.span.set(KeyValue::new("claw.complete", false));
        }
        self.finish_reasons.sort_by_key(|(number, _)| *number);
        let reasons = self.finish_reasons.drain(..).map(|(_, reason)| reason);
        if let Some(reasons) = attributes::texts(reasons) {
            let name = "gen_ai.response.finish_reasons";
            self.span.set(KeyValue::new(name, reasons));
        }
    }
}
