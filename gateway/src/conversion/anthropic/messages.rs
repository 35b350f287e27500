//! The messages of a chat as those of the Messages API: instructions apart, and never two of one speaker in a row.

use serde_json::{Map, Value, json};

use crate::conversion::Target;
use crate::conversion::chat::content::{Part, PartKind};
use crate::conversion::chat::data_url::data_url;
use crate::conversion::chat::dialogue::Dialogue;
use crate::conversion::chat::turns::{Speaker, ToolCall, Turn};
use crate::error::GatewayError;

/// What was said.
pub(super) struct Conversation {
    /// Blocks of the instructions.
    pub(super) system: Vec<Value>,
    /// The rest.
    pub(super) messages: Vec<Value>,
}

pub(super) fn conversation(
    turns: &[Turn<'_>],
    target: &Target<'_>,
) -> Result<Conversation, GatewayError> {
    let mut system = Vec::new();
    let mut said = Dialogue::default();
    for turn in turns {
        let (role, blocks) = match &turn.speaker {
            Speaker::System => {
                system.extend(blocks(&turn.parts, target)?);
                continue;
            }
            Speaker::User => ("user", blocks(&turn.parts, target)?),
            Speaker::Assistant(calls) => ("assistant", of_assistant(turn, calls, target)?),
            Speaker::Tool { call } => ("user", vec![result(turn, call, target)?]),
        };
        said.say(role, blocks);
    }
    let messages = said.into_messages("content")?;
    Ok(Conversation { system, messages })
}

fn of_assistant(
    turn: &Turn<'_>,
    calls: &[ToolCall<'_>],
    target: &Target<'_>,
) -> Result<Vec<Value>, GatewayError> {
    // Signed thoughts have to come back before the calls that they led to.
    let thoughts = turn.object.get("thinking_blocks").and_then(Value::as_array);
    let mut said: Vec<Value> = thoughts.into_iter().flatten().cloned().collect();
    said.extend(blocks(&turn.parts, target)?);
    said.extend(calls.iter().map(|call| {
        json!({"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments})
    }));
    Ok(said)
}

fn result(turn: &Turn<'_>, call: &str, target: &Target<'_>) -> Result<Value, GatewayError> {
    let mut block = Map::new();
    block.insert("type".into(), "tool_result".into());
    block.insert("tool_use_id".into(), call.into());
    let content = blocks(&turn.parts, target)?;
    if !content.is_empty() {
        block.insert("content".into(), content.into());
    }
    for field in ["is_error", "cache_control"] {
        if let Some(value) = turn.object.get(field) {
            block.insert(field.into(), value.clone());
        }
    }
    Ok(block.into())
}

fn blocks(parts: &[Part<'_>], target: &Target<'_>) -> Result<Vec<Value>, GatewayError> {
    parts.iter().map(|part| block(part, target)).collect()
}

fn block(part: &Part<'_>, target: &Target<'_>) -> Result<Value, GatewayError> {
    let at = &part.at;
    match &part.kind {
        PartKind::Text { text, object } => {
            let mut block = object.cloned().unwrap_or_default();
            block.insert("type".into(), "text".into());
            block.insert("text".into(), (*text).into());
            Ok(block.into())
        }
        PartKind::Image { url } => {
            let source = source(url).ok_or_else(|| {
                let message =
                    format!("`{at}.image_url.url` must be a data: URL in Base64 or https:");
                GatewayError::invalid(&format!("{at}.image_url.url"), message)
            })?;
            Ok(json!({"type": "image", "source": source}))
        }
        PartKind::File { name, url } => {
            let source = source(url).ok_or_else(|| {
                let message = format!("`{at}.file.file_data` must be a data: URL in Base64");
                GatewayError::invalid(&format!("{at}.file.file_data"), message)
            })?;
            let mut block = json!({"type": "document", "source": source});
            if let Some(name) = name {
                block["title"] = (*name).into();
            }
            Ok(block)
        }
        PartKind::FileId => {
            Err(target.unsupported(format!("{at}.file.file_id"), "send the file as file_data"))
        }
        PartKind::Audio { .. } => {
            Err(target.unsupported(format!("{at}.input_audio"), "send text or images"))
        }
        PartKind::Foreign { object } => Ok(Value::Object((*object).clone())),
    }
}

fn source(url: &str) -> Option<Value> {
    if let Some((media_type, data)) = data_url(url) {
        return Some(json!({"type": "base64", "media_type": media_type, "data": data}));
    }
    let is_fetched = url.starts_with("https://") || url.starts_with("http://");
    is_fetched.then(|| json!({"type": "url", "url": url}))
}
