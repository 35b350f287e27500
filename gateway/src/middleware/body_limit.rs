//! No body is larger than the configuration in force allows.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::{CONNECTION, CONTENT_LENGTH};
use http::{HeaderValue, StatusCode, Version};
use http_body_util::Limited;

use crate::AppState;
use crate::error::GatewayError;

/// Refuse a body that announces too much, and cut one that lies.
///
/// The rest of a refused body is never read, so its connection cannot be used again; the client is told, lest it send
/// its next request there.
pub async fn limit_body(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let limit = state.peek().limits.max_body_bytes;
    let is_http1 = request.version() <= Version::HTTP_11;
    let announced: Option<u64> = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let mut response = if announced.is_some_and(|length| length > limit) {
        GatewayError::BodyTooLarge { limit }.into_response()
    } else {
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let limited = request.map(|body| Body::new(Limited::new(body, most)));
        next.run(limited).await
    };
    if is_http1 && response.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}
