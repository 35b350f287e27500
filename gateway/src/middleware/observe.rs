//! One log line, one count and one audit record for every request, when its answer is over: a stream is over with its last byte, or
//! when its client leaves.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, Method, StatusCode};
use hyper::body::{Frame, SizeHint};

use super::RequestId;
use crate::AppState;
use crate::audit::notes::{NOTES, Notes};
use crate::audit::{self, Event, Place};
use crate::error::GatewayError;
use crate::metrics::Metrics;
use crate::telemetry::caller_trace;

/// A request under way.
pub struct Observation {
    record: Record,
    /// Its caller's, for the APIs that are called.
    trace: Option<HeaderMap>,
    admission: Result<(), GatewayError>,
}

impl Observation {
    /// Watch a request to its end.
    pub fn begin(state: &AppState, request: &Request, id: &RequestId) -> Self {
        let span = tracing::info_span!(
            "request",
            http.request.id = id.name(),
            otel.kind = "server",
            handler = handler(request.uri().path()),
            http.request.method = request.method().as_str(),
            http.response.status_code = tracing::field::Empty,
            model = tracing::field::Empty,
        );
        claw_telemetry::join(&span, request.headers());
        let (place, admission) = match state.audit.admit() {
            Ok(place) => (Some(place), Ok(())),
            Err(error) => (None, Err(error)),
        };
        let is_audited = place.as_ref().is_some_and(Place::is_wanted);
        let with_content = place.as_ref().is_some_and(Place::wants_content);
        let record = Record {
            started: Instant::now(),
            metrics: Arc::clone(&state.metrics),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            request_id: id.name().to_owned(),
            client: request
                .extensions()
                .get::<ConnectInfo<SocketAddr>>()
                .map(|peer| peer.0.ip()),
            trace: is_audited
                .then(|| claw_telemetry::trace_id(&span, request.headers()))
                .flatten(),
            span,
            notes: Arc::new(Notes::new(with_content)),
            place,
            // What a client that leaves before the answer gets, in the words of other gateways' logs.
            status: 499,
            is_complete: false,
        };
        Self {
            record,
            trace: claw_telemetry::passage(request.headers()),
            admission,
        }
    }

    /// Have it answered, unless the audit log keeps that from being done.
    pub async fn watch(&mut self, answer: Pin<&mut impl Future<Output = Response>>) -> Response {
        if let Err(error) = std::mem::replace(&mut self.admission, Ok(())) {
            return error.into_response();
        }
        let answer = claw_telemetry::within(self.record.span.clone(), answer);
        let answer = NOTES.scope(Arc::clone(&self.record.notes), answer);
        caller_trace::within(self.trace.take(), answer).await
    }

    /// Watch its answer to the end.
    pub fn answered(self, response: Response) -> Response {
        let Self { mut record, .. } = self;
        record.status = response.status().as_u16();
        record
            .metrics
            .answer_began(handler(&record.path), record.started.elapsed());
        // A body behind an upgrade is none of HTTP's; wrapping it is harmless, but it ends at once.
        record.is_complete = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        response.map(|inner| {
            Body::new(Observed {
                inner: Some(inner),
                record,
            })
        })
    }
}

struct Record {
    /// Open to the last byte, like the rest of this.
    span: tracing::Span,
    started: Instant,
    metrics: Arc<Metrics>,
    method: Method,
    path: String,
    request_id: String,
    client: Option<IpAddr>,
    trace: Option<String>,
    notes: Arc<Notes>,
    /// In the audit log.
    place: Option<Place>,
    status: u16,
    is_complete: bool,
}

impl Drop for Record {
    fn drop(&mut self) {
        let duration = self.started.elapsed();
        let model = self.notes.model();
        if claw_telemetry::is_on() {
            // Signed, or traces have it as a text.
            let status = i64::from(self.status);
            self.span.record("http.response.status_code", status);
            if let Some(model) = model {
                self.span.record("model", model);
            }
        }
        self.metrics
            .request(handler(&self.path), model, self.status, duration);
        // Where traces are sent, a line takes its trace from the span that it is written in.
        let entered = claw_telemetry::is_on().then(|| self.span.enter());
        tracing::info!(
            parent: &self.span,
            http.request.method = self.method.as_str(),
            url.path = self.path,
            user.name = self.notes.caller().map(|name| &**name),
            claw.model = model,
            claw.route = self.notes.route(),
            http.response.status_code = self.status,
            claw.complete = self.is_complete,
            event.duration = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX),
            "request"
        );
        drop(entered);
        if let Some(place) = self.place.take_if(|place| place.is_wanted()) {
            place.record(Event::Request(Box::new(self.audit_record(duration))));
        }
    }
}

impl Record {
    /// The last use of what is known.
    fn audit_record(&mut self, duration: Duration) -> audit::Request {
        audit::Request {
            client: self.client,
            caller: self.notes.caller().cloned(),
            method: std::mem::take(&mut self.method),
            path: std::mem::take(&mut self.path),
            id: std::mem::take(&mut self.request_id),
            trace: self.trace.take(),
            model: self.notes.model().map(str::to_owned),
            status: self.status,
            is_complete: self.is_complete,
            reason: self.notes.reason(),
            tokens: self.notes.tokens(),
            duration,
            content: self.notes.take_content(),
        }
    }
}

/// A bounded set of names, whatever paths clients invent.
fn handler(path: &str) -> &'static str {
    match path {
        crate::routing::CHAT_COMPLETIONS => "chat_completions",
        crate::routing::MESSAGES => "messages",
        "/v1/messages/count_tokens" => "count_tokens",
        crate::routing::RESPONSES => "responses",
        crate::routing::COMPLETIONS => "completions",
        crate::routing::EMBEDDINGS => "embeddings",
        crate::routing::RERANK => "rerank",
        "/openapi.json" => "openapi",
        path if path == "/v1/models" || path.starts_with("/v1/models/") => "models",
        path if path.starts_with("/channels/") => "channel",
        _ => "route",
    }
}

struct Observed {
    /// `None` only while it is dropped.
    inner: Option<Body>,
    record: Record,
}

impl Drop for Observed {
    /// Before the record is made, and in its name: an answer that is left alone says what it has cost.
    fn drop(&mut self) {
        let inner = self.inner.take();
        NOTES.sync_scope(Arc::clone(&self.record.notes), || drop(inner));
    }
}

impl hyper::body::Body for Observed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Self { inner, record } = self.get_mut();
        let Some(inner) = inner else {
            return Poll::Ready(None);
        };
        let polled = NOTES.sync_scope(Arc::clone(&record.notes), || {
            Pin::new(&mut *inner).poll_frame(context)
        });
        let frame = std::task::ready!(polled);
        record.is_complete = frame.is_none() || inner.is_end_stream();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner
            .as_ref()
            .is_none_or(hyper::body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), hyper::body::Body::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invented_paths_share_one_label() {
        assert_eq!(handler("/v1/chat/completions"), "chat_completions");
        assert_eq!(handler("/v1/models/tiny"), "models");
        assert_eq!(handler("/channels/desk"), "channel");
        assert_eq!(handler("/%00/../etc"), "route");
    }
}
