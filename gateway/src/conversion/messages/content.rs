//! What a turn says: Anthropic's blocks as messages of a chat.

use serde_json::{Value, json};

use crate::conversion::blocks::{kind, plain, text, unknown};
use crate::error::GatewayError;
use crate::types::fields;

/// The system prompt as one text.
pub(super) fn system(value: Option<Value>) -> Result<Option<String>, GatewayError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Array(blocks)) => blocks
            .iter()
            .enumerate()
            .map(|(index, block)| {
                let at = format!("system[{index}]");
                match kind(&at, block)? {
                    "text" => text(&at, block, "text"),
                    other => Err(unknown(&at, other, "text")),
                }
            })
            .collect::<Result<Vec<_>, _>>()
            .map(|texts| (!texts.is_empty()).then(|| texts.join("\n\n"))),
        Some(other) => Err(GatewayError::invalid(
            "system",
            format!(
                "`system` is {}, but must be a string or a list of text blocks",
                fields::quoted(&other)
            ),
        )),
    }
}

/// One turn, which is several messages where it brings the results of tools.
pub(super) fn turn(at: &str, turn: Value) -> Result<Vec<Value>, GatewayError> {
    let Value::Object(mut turn) = turn else {
        return Err(GatewayError::invalid(
            at,
            format!("`{at}` must be an object with `role` and `content`"),
        ));
    };
    let content = turn.remove("content").unwrap_or(Value::Null);
    let within = format!("{at}.content");
    match turn.get("role").and_then(Value::as_str) {
        Some("user") => user(&within, content),
        Some("assistant") => assistant(&within, content).map(|message| vec![message]),
        _ => {
            let param = format!("{at}.role");
            let found = turn
                .get("role")
                .map_or_else(|| "missing".to_owned(), fields::quoted);
            Err(GatewayError::invalid(
                &param,
                format!("`{param}` is {found}, but must be user or assistant"),
            ))
        }
    }
}

/// Results of tools come first, because they must follow their calls.
fn user(at: &str, content: Value) -> Result<Vec<Value>, GatewayError> {
    let blocks = match content {
        Value::String(text) => return Ok(vec![json!({"role": "user", "content": text})]),
        other => blocks(at, other)?,
    };
    let mut messages = Vec::new();
    let mut parts = Vec::new();
    for (index, block) in blocks.iter().enumerate() {
        let at = format!("{at}[{index}]");
        match kind(&at, block)? {
            "text" => parts.push(json!({"type": "text", "text": text(&at, block, "text")?})),
            "image" => parts.push(image(&at, block)?),
            "document" => parts.push(document(&at, block)?),
            "tool_result" => messages.push(tool_result(&at, block, &mut parts)?),
            other => {
                return Err(unknown(&at, other, "text, image, document, tool_result"));
            }
        }
    }
    if !parts.is_empty() {
        messages.push(json!({"role": "user", "content": plain(parts)}));
    }
    Ok(messages)
}

fn assistant(at: &str, content: Value) -> Result<Value, GatewayError> {
    let blocks = match content {
        Value::String(text) => return Ok(json!({"role": "assistant", "content": text})),
        other => blocks(at, other)?,
    };
    let mut said = String::new();
    let mut calls = Vec::new();
    for (index, block) in blocks.iter().enumerate() {
        let at = format!("{at}[{index}]");
        match kind(&at, block)? {
            "text" => said.push_str(&text(&at, block, "text")?),
            "tool_use" => calls.push(json!({
                "id": text(&at, block, "id")?,
                "type": "function",
                "function": {
                    "name": text(&at, block, "name")?,
                    "arguments": block.get("input").map_or_else(|| "{}".to_owned(), Value::to_string),
                },
            })),
            // What a model thought before is none of what was said, in either API.
            "thinking" | "redacted_thinking" => {}
            other => {
                return Err(unknown(&at, other, "text, tool_use, thinking"));
            }
        }
    }
    let mut message = json!({"role": "assistant", "content": said});
    if !calls.is_empty() {
        if said.is_empty() {
            message["content"] = Value::Null;
        }
        message["tool_calls"] = calls.into();
    }
    Ok(message)
}

/// Chats take only text from tools; images go into what the user says next.
fn tool_result(at: &str, block: &Value, parts: &mut Vec<Value>) -> Result<Value, GatewayError> {
    let mut said = match block.get("content") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(content) => {
            let within = format!("{at}.content");
            let mut said = String::new();
            for (index, block) in blocks(&within, content.clone())?.iter().enumerate() {
                let at = format!("{within}[{index}]");
                match kind(&at, block)? {
                    "text" => said.push_str(&text(&at, block, "text")?),
                    "image" => parts.push(image(&at, block)?),
                    "document" => parts.push(document(&at, block)?),
                    other => return Err(unknown(&at, other, "text, image, document")),
                }
            }
            said
        }
    };
    if block.get("is_error") == Some(&Value::Bool(true)) {
        said.insert_str(0, "Error: ");
    }
    Ok(json!({
        "role": "tool",
        "tool_call_id": text(at, block, "tool_use_id")?,
        "content": said,
    }))
}

fn image(at: &str, block: &Value) -> Result<Value, GatewayError> {
    let source = block.get("source").unwrap_or(&Value::Null);
    let at = format!("{at}.source");
    let url = match kind(&at, source)? {
        "base64" => data_url(&at, source)?,
        "url" => text(&at, source, "url")?,
        other => return Err(unknown(&at, other, "base64, url")),
    };
    Ok(json!({"type": "image_url", "image_url": {"url": url}}))
}

fn document(at: &str, block: &Value) -> Result<Value, GatewayError> {
    let source = block.get("source").unwrap_or(&Value::Null);
    let within = format!("{at}.source");
    match kind(&within, source)? {
        "text" => Ok(json!({"type": "text", "text": text(&within, source, "data")?})),
        "base64" => {
            let name = block
                .get("title")
                .and_then(Value::as_str)
                .unwrap_or("document.pdf");
            Ok(json!({
                "type": "file",
                "file": {"filename": name, "file_data": data_url(&within, source)?},
            }))
        }
        other => Err(unknown(&within, other, "base64, text")),
    }
}

fn data_url(at: &str, source: &Value) -> Result<String, GatewayError> {
    let media_type = text(at, source, "media_type")?;
    let data = text(at, source, "data")?;
    Ok(format!("data:{media_type};base64,{data}"))
}

fn blocks(at: &str, content: Value) -> Result<Vec<Value>, GatewayError> {
    match content {
        Value::Array(blocks) if !blocks.is_empty() => Ok(blocks),
        Value::Array(_) | Value::Null => Err(GatewayError::invalid(
            at,
            format!("`{at}` is missing or empty: say something"),
        )),
        other => Err(GatewayError::invalid(
            at,
            format!(
                "`{at}` is {}, but must be a string or a list of blocks",
                fields::quoted(&other)
            ),
        )),
    }
}
