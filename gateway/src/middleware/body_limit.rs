//! No body is larger than the configuration in force allows.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::CONTENT_LENGTH;
use http_body_util::Limited;

use crate::AppState;
use crate::error::GatewayError;

/// Refuse a body that announces too much, and cut one that lies.
pub async fn limit_body(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Result<Response, GatewayError> {
    let limit = state.peek().limits.max_body_bytes;
    let announced: Option<u64> = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(GatewayError::BodyTooLarge { limit });
    }
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    Ok(next
        .run(request.map(|body| Body::new(Limited::new(body, most))))
        .await)
}
