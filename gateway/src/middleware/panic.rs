//! A panic costs one request, not the gateway.

use std::any::Any;

use axum::response::{IntoResponse as _, Response};

use crate::error::GatewayError;

/// The answer to a request whose handler panicked; the panic hook has logged where.
pub fn answer_panic(_panic: Box<dyn Any + Send + 'static>) -> Response {
    GatewayError::Internal.into_response()
}
