//! One log line and one count for every request, when its answer is over: a stream is over with its last byte, or
//! when its client leaves.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{Method, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Frame, SizeHint};
use tracing::Instrument as _;

use super::RequestId;
use crate::AppState;
use crate::auth::Caller;
use crate::handlers::AnsweredBy;
use crate::metrics::Metrics;

/// Watch a request to its end.
pub async fn observe(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let id = request
        .extensions()
        .get::<RequestId>()
        .map_or_else(String::new, |id| id.0.clone());
    let span = tracing::info_span!(
        "request",
        request_id = id,
        otel.kind = "server",
        handler = handler(request.uri().path()),
        http.request.method = request.method().as_str(),
        http.response.status_code = tracing::field::Empty,
        model = tracing::field::Empty,
    );
    claw_telemetry::join(&span, request.headers());
    let mut record = Record {
        span: span.clone(),
        started: Instant::now(),
        metrics: Arc::clone(&state.metrics),
        method: request.method().clone(),
        path: request.uri().path().to_owned(),
        request_id: id,
        caller: None,
        model: None,
        // What a client that leaves before the answer gets, in the words of other gateways' logs.
        status: 499,
        is_complete: false,
    };
    let response = next.run(request).instrument(span).await;
    record.status = response.status().as_u16();
    state
        .metrics
        .answer_began(handler(&record.path), record.started.elapsed());
    record.caller = response
        .extensions()
        .get::<Caller>()
        .map(|caller| caller.name.to_string());
    record.model = response
        .extensions()
        .get::<AnsweredBy>()
        .map(|model| model.0.clone());
    // A body behind an upgrade is none of HTTP's; wrapping it is harmless, but it ends at once.
    record.is_complete = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    response.map(|inner| {
        Body::new(Observed {
            inner: UnsyncBoxBody::new(inner),
            record,
        })
    })
}

struct Record {
    /// Open to the last byte, like the rest of this.
    span: tracing::Span,
    started: Instant,
    metrics: Arc<Metrics>,
    method: Method,
    path: String,
    request_id: String,
    caller: Option<String>,
    model: Option<String>,
    status: u16,
    is_complete: bool,
}

impl Drop for Record {
    fn drop(&mut self) {
        let duration = self.started.elapsed();
        self.span.record("http.response.status_code", self.status);
        if let Some(model) = &self.model {
            self.span.record("model", model);
        }
        self.metrics.request(
            handler(&self.path),
            self.model.as_deref(),
            self.status,
            duration,
        );
        tracing::info!(
            request_id = self.request_id,
            method = self.method.as_str(),
            path = self.path,
            caller = self.caller,
            model.name = self.model,
            status = self.status,
            complete = self.is_complete,
            duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            "request"
        );
    }
}

/// A bounded set of names, whatever paths clients invent.
fn handler(path: &str) -> &'static str {
    match path {
        crate::routing::CHAT_COMPLETIONS => "chat_completions",
        crate::routing::MESSAGES => "messages",
        "/v1/messages/count_tokens" => "count_tokens",
        crate::routing::RESPONSES => "responses",
        path if path == "/v1/models" || path.starts_with("/v1/models/") => "models",
        path if path.starts_with("/channels/") => "channel",
        _ => "route",
    }
}

struct Observed {
    inner: UnsyncBoxBody<Bytes, axum::Error>,
    record: Record,
}

impl hyper::body::Body for Observed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.inner).poll_frame(context));
        self.record.is_complete = frame.is_none() || self.inner.is_end_stream();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
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
