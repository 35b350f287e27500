//! A panic costs one request, not the gateway.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;

use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;

use crate::error::GatewayError;

/// A request whose handler panics is answered like any other failure; the panic hook has logged where.
pub async fn contain_panic(answer: Pin<&mut impl Future<Output = Response>>) -> Response {
    let outcome = AssertUnwindSafe(answer).catch_unwind().await;
    outcome.unwrap_or_else(|_| GatewayError::Internal.into_response())
}
