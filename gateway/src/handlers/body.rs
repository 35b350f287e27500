//! The body of a request, as a whole.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::poll;
use http_body_util::{BodyExt as _, LengthLimitError};

use crate::error::GatewayError;

/// A body that takes longer is an attack or a broken client.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Read a body, which another layer limits to `limit` bytes.
pub(super) async fn read(body: Body, limit: u64) -> Result<Bytes, GatewayError> {
    let mut collected = pin!(body.collect());
    // Most bodies come with their heads, and nobody has to look at the clock.
    let outcome = match poll!(&mut collected) {
        Poll::Ready(outcome) => Ok(outcome),
        Poll::Pending => tokio::time::timeout(BODY_TIMEOUT, collected).await,
    };
    match outcome {
        Err(_) => Err(GatewayError::BodyTimeout {
            limit: BODY_TIMEOUT,
        }),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if is_too_long(&error) => Err(GatewayError::BodyTooLarge { limit }),
        Ok(Err(_)) => Err(GatewayError::InvalidRequest {
            message: "the request body was cut off: send as many bytes as Content-Length says"
                .to_owned(),
            param: None,
        }),
    }
}

fn is_too_long(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}
