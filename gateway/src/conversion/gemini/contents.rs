//! The messages of a chat as Gemini's contents: instructions apart, and never two of one speaker in a row.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::conversion::Target;
use crate::conversion::chat::content::{Part, PartKind};
use crate::conversion::chat::data_url::data_url;
use crate::conversion::chat::dialogue::Dialogue;
use crate::conversion::chat::turns::{Speaker, ToolCall, Turn};
use crate::error::GatewayError;

/// Stands for the signature of a call that another model made, which Gemini 3 would else refuse
/// (<https://ai.google.dev/gemini-api/docs/thought-signatures>).
const FOREIGN_CALL: &str = "skip_thought_signature_validator";

/// What was said.
pub(super) struct Conversation {
    /// Parts of the instructions.
    pub(super) system: Vec<Value>,
    /// The rest.
    pub(super) contents: Vec<Value>,
}

pub(super) fn conversation(
    turns: &[Turn<'_>],
    target: &Target<'_>,
) -> Result<Conversation, GatewayError> {
    let mut system = Vec::new();
    let mut said = Dialogue::default();
    // A result names its function, and a chat only the call.
    let mut functions = HashMap::new();
    for turn in turns {
        let (role, parts) = match &turn.speaker {
            Speaker::System => {
                system.extend(parts(&turn.parts, target)?);
                continue;
            }
            Speaker::User => ("user", parts(&turn.parts, target)?),
            Speaker::Assistant(calls) => {
                functions.extend(calls.iter().map(|call| (call.id, call.name)));
                let mut said = parts(&turn.parts, target)?;
                said.extend(self::calls(calls, target));
                ("model", said)
            }
            Speaker::Tool { call } => {
                let name = functions.get(call).copied();
                ("user", vec![result(turn, call, name, target)?])
            }
        };
        said.say(role, parts);
    }
    let contents = said.into_messages("parts")?;
    Ok(Conversation { system, contents })
}

fn calls(calls: &[ToolCall<'_>], target: &Target<'_>) -> Vec<Value> {
    let signs = target.model.contains("gemini-3");
    let mut parts = Vec::new();
    for (index, call) in calls.iter().enumerate() {
        let mut part = json!({
            "functionCall": {"id": call.id, "name": call.name, "args": call.arguments},
        });
        if let Some(signature) = signature(call.object) {
            part["thoughtSignature"] = signature.into();
        } else if index == 0 && signs {
            part["thoughtSignature"] = FOREIGN_CALL.into();
        }
        parts.push(part);
    }
    parts
}

/// Where Google's own chat completions put it.
fn signature(call: &Map<String, Value>) -> Option<&str> {
    call.get("extra_content")?
        .get("google")?
        .get("thought_signature")?
        .as_str()
}

fn result(
    turn: &Turn<'_>,
    call: &str,
    function: Option<&str>,
    target: &Target<'_>,
) -> Result<Value, GatewayError> {
    let named = turn.object.get("name").and_then(Value::as_str);
    let Some(name) = function.or(named) else {
        let param = format!("{}.tool_call_id", turn.at);
        let message = format!("`{param}` is {call:?}, but no message before has such a call");
        return Err(GatewayError::invalid(&param, message));
    };
    let mut text = String::new();
    for part in &turn.parts {
        match &part.kind {
            PartKind::Text { text: more, .. } => text.push_str(more),
            _ => return Err(target.unsupported(&part.at, "give results of tools as text")),
        }
    }
    let response = match serde_json::from_str(&text) {
        Ok(Value::Object(object)) => object.into(),
        _ => json!({"result": text}),
    };
    Ok(json!({"functionResponse": {"id": call, "name": name, "response": response}}))
}

fn parts(parts: &[Part<'_>], target: &Target<'_>) -> Result<Vec<Value>, GatewayError> {
    parts.iter().map(|part| self::part(part, target)).collect()
}

fn part(part: &Part<'_>, target: &Target<'_>) -> Result<Value, GatewayError> {
    let at = &part.at;
    match &part.kind {
        PartKind::Text { text, .. } => Ok(json!({"text": text})),
        PartKind::Image { url } => Ok(file(url)),
        PartKind::File { url, .. } => {
            let (media_type, data) = data_url(url).ok_or_else(|| {
                let message = format!("`{at}.file.file_data` must be a data: URL in Base64");
                GatewayError::invalid(&format!("{at}.file.file_data"), message)
            })?;
            Ok(json!({"inlineData": {"mimeType": media_type, "data": data}}))
        }
        PartKind::FileId => {
            Err(target.unsupported(format!("{at}.file.file_id"), "send the file as file_data"))
        }
        PartKind::Audio { data, format } => {
            let media_type = format!("audio/{format}");
            Ok(json!({"inlineData": {"mimeType": media_type, "data": data}}))
        }
        PartKind::Foreign { .. } => Err(target.unsupported(
            format!("{at}.type"),
            "use text, image_url, input_audio or file",
        )),
    }
}

/// Gemini fetches what is elsewhere; it wants to know what to expect.
fn file(url: &str) -> Value {
    if let Some((media_type, data)) = data_url(url) {
        return json!({"inlineData": {"mimeType": media_type, "data": data}});
    }
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let extension = path.rsplit('.').next().unwrap_or_default();
    let media_type = match extension.to_ascii_lowercase().as_str() {
        "jpg" | "jpeg" => Some("image/jpeg"),
        "png" => Some("image/png"),
        "webp" => Some("image/webp"),
        "heic" => Some("image/heic"),
        "heif" => Some("image/heif"),
        _ => None,
    };
    let mut file = json!({"fileUri": url});
    if let Some(media_type) = media_type {
        file["mimeType"] = media_type.into();
    }
    json!({"fileData": file})
}
