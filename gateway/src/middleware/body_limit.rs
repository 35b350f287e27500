//! No body is larger than the configuration in force allows.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT};
use http::{HeaderValue, StatusCode, Version};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Frame, SizeHint};

use crate::AppState;
use crate::error::GatewayError;

/// Pieces of a body in excess that are read and thrown away: a client that is still sending when the connection
/// closes sees a broken connection, and never the answer. A piece is at most 64 KiB.
const MOST_DISCARDED: u32 = 512;
/// And how long that may take.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(5);

/// Refuse a body that announces too much, and cut one that lies.
///
/// The connection is not used again afterwards, since the rest of the body may still be on its way; the client is
/// told, lest it send its next request there.
pub async fn limit_body<F: Future<Output = Response>>(
    state: &AppState,
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let limit = state.peek().limits.max_body_bytes;
    let is_http1 = request.version() <= Version::HTTP_11;
    let announced: Option<u64> = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let waits_for_us = request.headers().contains_key(EXPECT);
    let request = request.map(|body| Body::new(Bounded::new(body, limit)));
    let mut response = if announced.is_some_and(|length| length > limit) {
        if !waits_for_us {
            // Read for its end only; how it ends makes no difference.
            let _ = tokio::time::timeout(DISCARD_TIMEOUT, request.into_body().collect()).await;
        }
        GatewayError::BodyTooLarge { limit }.into_response()
    } else {
        next(request).await
    };
    if is_http1 && response.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

/// A body that ends with an error where it exceeds its limit, after its excess was thrown away.
struct Bounded {
    inner: Limited<Body>,
    /// How it will end, once it has exceeded the limit.
    excess: Option<axum::BoxError>,
    discarded: u32,
}

impl Bounded {
    fn new(body: Body, limit: u64) -> Self {
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        Self {
            inner: Limited::new(body, most),
            excess: None,
            discarded: 0,
        }
    }
}

impl hyper::body::Body for Bounded {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        loop {
            let frame = std::task::ready!(Pin::new(&mut self.inner).poll_frame(context));
            match (frame, self.excess.is_some()) {
                // Once over its limit, `Limited` answers each further piece with this error again.
                (Some(Err(error)), _) if error.is::<LengthLimitError>() => {
                    self.discarded += 1;
                    if self.discarded > MOST_DISCARDED {
                        return Poll::Ready(Some(Err(error)));
                    }
                    self.excess = Some(error);
                }
                (None, _) => return Poll::Ready(self.excess.take().map(Err)),
                (Some(Ok(_)), true) => {}
                (frame, _) => return Poll::Ready(frame),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.excess.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    async fn read(pieces: usize, limit: u64) -> Result<usize, axum::BoxError> {
        let pieces = (0..pieces).map(|_| Ok::<_, Infallible>(Bytes::from_static(b"12345678")));
        let body = Body::from_stream(futures::stream::iter(pieces));
        Bounded::new(body, limit)
            .collect()
            .await
            .map(|whole| whole.to_bytes().len())
    }

    #[tokio::test]
    async fn a_body_within_its_limit_comes_through() {
        assert_eq!(read(3, 24).await.expect("exactly the limit"), 24);
    }

    #[tokio::test]
    async fn a_body_in_excess_is_read_to_its_end_and_refused() {
        for pieces in [4, 2 * MOST_DISCARDED as usize] {
            let error = read(pieces, 24).await.expect_err("too long");
            assert!(error.is::<LengthLimitError>(), "{error}");
        }
    }
}
