//! No body is larger than the configuration in force allows.

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT};
use http::{HeaderValue, Version};
use http_body_util::Limited;
use hyper::body::Body as _;

use super::unread_body::lend;
use crate::AppState;
use crate::error::GatewayError;

/// Refuse a body that announces too much, and cut one that lies.
///
/// Where a body was not read, for this reason or any other, its rest is read before the answer goes. A connection whose
/// rest does not come is not used again, and the client is told, lest it send its next request there.
pub async fn limit_body<F: Future<Output = Response>>(
    state: &AppState,
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    if request.body().is_end_stream() {
        return next(request).await;
    }
    let limit = state.peek().limits.max_body_bytes;
    let is_http1 = request.version() <= Version::HTTP_11;
    let announced: Option<u64> = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let waits_for_us = request.headers().contains_key(EXPECT);
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let (head, body) = request.into_parts();
    let (lent, lender) = lend(body);
    let mut response = if announced.is_some_and(|length| length > limit) {
        drop(lent);
        GatewayError::BodyTooLarge { limit }.into_response()
    } else {
        let body = Body::new(Limited::new(lent, most));
        next(Request::from_parts(head, body)).await
    };
    if !is_http1 {
        // The stream of this request alone ends.
        return response;
    }
    if !lender.discard(waits_for_us).await {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}
