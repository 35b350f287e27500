//! Bodies are read as they come: nobody makes us unpack more than was sent.

use axum::extract::Request;
use http::header::CONTENT_ENCODING;

use crate::error::GatewayError;

/// As much of a strange encoding's name is repeated.
const LONGEST_NAME: usize = 40;

/// Refuse a compressed body.
pub fn refuse_compressed(request: &Request) -> Result<(), GatewayError> {
    let strange = request
        .headers()
        .get_all(CONTENT_ENCODING)
        .iter()
        .find(|encoding| {
            !encoding.is_empty() && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
        });
    let Some(encoding) = strange else {
        return Ok(());
    };
    let encoding = String::from_utf8_lossy(encoding.as_bytes());
    let encoding = encoding.chars().take(LONGEST_NAME).collect();
    Err(GatewayError::BodyCompressed { encoding })
}
