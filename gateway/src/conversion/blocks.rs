//! What the blocks and parts of all dialects have in common: a type, and texts.

use serde_json::Value;

use crate::error::GatewayError;
use crate::types::fields;

/// The type of a block.
pub(super) fn kind<'a>(at: &str, block: &'a Value) -> Result<&'a str, GatewayError> {
    block
        .get("type")
        .and_then(Value::as_str)
        .ok_or_else(|| GatewayError::invalid(at, format!("`{at}` must be an object with a `type`")))
}

/// A type that has no counterpart in a chat.
pub(super) fn unknown(at: &str, found: &str, known: &str) -> GatewayError {
    let param = format!("{at}.type");
    let found = fields::quoted(&found.into());
    GatewayError::invalid(
        &param,
        format!("`{param}` is {found}, but this gateway takes only {known}"),
    )
}

/// A text that must be there.
pub(super) fn text(at: &str, block: &Value, field: &str) -> Result<String, GatewayError> {
    if let Some(Value::String(text)) = block.get(field) {
        return Ok(text.clone());
    }
    let param = format!("{at}.{field}");
    Err(GatewayError::invalid(
        &param,
        format!("`{param}` must be a string"),
    ))
}

/// Parts of a chat message as its content. Many APIs take only a string; one text needs no more.
pub(super) fn plain(mut parts: Vec<Value>) -> Value {
    match parts.as_mut_slice() {
        [only] if only["type"] == "text" => only["text"].take(),
        _ => parts.into(),
    }
}
