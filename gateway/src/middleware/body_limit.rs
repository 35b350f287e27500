//! No body is larger than the configuration in force allows.

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT};
use http::{HeaderValue, Version};
use http_body_util::Limited;
use hyper::body::Body as _;

use super::unread_body::{Lender, lend};
use crate::AppState;
use crate::error::GatewayError;

/// What is left of a request's body when it is answered.
pub struct Rest {
    lender: Lender,
    is_http1: bool,
    /// For leave to send the body.
    waits_for_us: bool,
}

/// Cut a body that is longer than it may be. None where there is no body.
pub fn limit_body(state: &AppState, request: &mut Request) -> Option<Rest> {
    if request.body().is_end_stream() {
        return None;
    }
    let most = usize::try_from(state.peek().limits.max_body_bytes).unwrap_or(usize::MAX);
    let (lent, lender) = lend(std::mem::take(request.body_mut()));
    *request.body_mut() = Body::new(Limited::new(lent, most));
    Some(Rest {
        lender,
        is_http1: request.version() <= Version::HTTP_11,
        waits_for_us: request.headers().contains_key(EXPECT),
    })
}

/// Refuse a body that announces too much.
pub fn refuse_large(state: &AppState, request: &Request) -> Result<(), GatewayError> {
    let limit = state.peek().limits.max_body_bytes;
    let announced: Option<u64> = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(GatewayError::BodyTooLarge { limit });
    }
    Ok(())
}

impl Rest {
    /// Where a body was not read, for whatever reason, its rest is read before the answer goes. Where the rest does not
    /// come, HTTP/2 ends the stream of this request alone; a connection of HTTP/1 is not used again, and the client is
    /// told, lest it send its next request there.
    pub async fn discard(self, response: &mut Response) {
        let is_read = self.lender.discard(self.waits_for_us).await;
        if !is_read && self.is_http1 {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
    }
}
