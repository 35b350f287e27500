//! A request body as a JSON object, before anything in it is checked.

use serde_json::{Map, Value};

use crate::error::GatewayError;

/// Read a body; the error says where it stops being JSON.
pub fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, GatewayError> {
    let unreadable = |message| GatewayError::InvalidRequest {
        message,
        param: None,
    };
    let text = std::str::from_utf8(bytes).map_err(|error| {
        unreadable(format!(
            "the request body is not UTF-8: invalid byte at offset {}",
            error.valid_up_to()
        ))
    })?;
    serde_json::from_str(text)
        .map_err(|error| unreadable(format!("the request body is not a JSON object: {error}")))
}
