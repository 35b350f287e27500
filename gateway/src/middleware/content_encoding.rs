//! Bodies are read as they come: nobody makes us unpack more than was sent.

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_ENCODING;

use crate::error::GatewayError;

/// As much of a strange encoding's name is repeated.
const LONGEST_NAME: usize = 40;

/// Refuse a compressed body.
pub async fn refuse_compressed<F: Future<Output = Response>>(
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let strange = request
        .headers()
        .get_all(CONTENT_ENCODING)
        .iter()
        .find(|encoding| {
            !encoding.is_empty() && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
        });
    let Some(encoding) = strange else {
        return next(request).await;
    };
    let encoding = String::from_utf8_lossy(encoding.as_bytes());
    let encoding = encoding.chars().take(LONGEST_NAME).collect();
    GatewayError::BodyCompressed { encoding }.into_response()
}
