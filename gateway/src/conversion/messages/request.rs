//! A request of the Messages API as a chat.

use serde_json::{Map, Value, json};

use super::{content, tools};
use crate::conversion::FieldNames;
use crate::error::GatewayError;
use crate::types::{ChatRequest, fields};

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// An answer, which needs `max_tokens`.
    Answer,
    /// The length of the prompt.
    Count,
}

/// A checked request.
#[derive(Clone, Debug, PartialEq)]
pub struct MessagesRequest {
    /// The same as a chat.
    pub chat: ChatRequest,
    /// How errors about the chat are told.
    pub names: FieldNames,
    /// Texts that end the answer.
    pub stop_sequences: Vec<String>,
}

/// What the chat calls differently.
const FIELDS: &[(&str, &str)] = &[
    ("max_completion_tokens", "max_tokens"),
    (
        "parallel_tool_calls",
        "tool_choice.disable_parallel_tool_use",
    ),
    ("reasoning_effort", "thinking"),
    ("response_format", "output_config.format"),
    ("stop", "stop_sequences"),
    ("user", "metadata.user_id"),
];
/// Parts of Anthropic's own service.
const HOSTED: [&str; 3] = ["container", "context_management", "mcp_servers"];

/// Translate a body. Fields that Anthropic does not know are kept as they are.
pub fn chat_request(
    mut body: Map<String, Value>,
    demand: Demand,
) -> Result<MessagesRequest, GatewayError> {
    refuse_hosted(&body)?;
    let mut chat = Map::new();
    let names = messages(&mut body, &mut chat)?;
    length(&mut body, &mut chat, demand)?;
    let stop_sequences = fields::strings(&body, "stop_sequences", usize::MAX)?;
    if let Some(texts) = body.remove("stop_sequences")
        && !stop_sequences.is_empty()
    {
        chat.insert("stop".into(), texts);
    }
    user(&mut body, &mut chat)?;
    effort(&mut body, &mut chat)?;
    service_tier(&mut body, &mut chat)?;
    tools::translate(&mut body, &mut chat)?;
    if fields::boolean(&body, "stream")?.unwrap_or(false) {
        chat.insert("stream_options".into(), json!({"include_usage": true}));
    }
    // The rest has the same name and meaning, or none that we know.
    for (name, value) in body {
        chat.entry(name).or_insert(value);
    }
    let chat = ChatRequest::from_object(chat).map_err(|error| names.translate(error))?;
    Ok(MessagesRequest {
        chat,
        names,
        stop_sequences,
    })
}

fn refuse_hosted(body: &Map<String, Value>) -> Result<(), GatewayError> {
    match HOSTED
        .into_iter()
        .find(|field| fields::present(body, field).is_some())
    {
        None => Ok(()),
        Some(field) => Err(GatewayError::invalid(
            field,
            format!(
                "`{field}` is a service of Anthropic's own that this gateway does not offer: leave it out"
            ),
        )),
    }
}

fn messages(
    body: &mut Map<String, Value>,
    chat: &mut Map<String, Value>,
) -> Result<FieldNames, GatewayError> {
    let mut messages = Vec::new();
    let mut origins = Vec::new();
    if let Some(system) = content::system(body.remove("system"))? {
        messages.push(json!({"role": "system", "content": system}));
        origins.push("system".to_owned());
    }
    let turns = match body.remove("messages") {
        Some(Value::Array(turns)) if !turns.is_empty() => turns,
        Some(Value::Array(_) | Value::Null) | None => {
            return Err(GatewayError::invalid(
                "messages",
                "`messages` is missing or empty: send at least one message",
            ));
        }
        Some(other) => {
            return Err(GatewayError::invalid(
                "messages",
                format!(
                    "`messages` is {}, but must be a list",
                    fields::quoted(&other)
                ),
            ));
        }
    };
    let last = turns.len() - 1;
    for (index, turn) in turns.into_iter().enumerate() {
        let at = format!("messages[{index}]");
        if index == last && turn.get("role").and_then(Value::as_str) == Some("assistant") {
            return Err(GatewayError::invalid(
                &at,
                format!(
                    "`{at}` is of the assistant, but the last message must be of the user: the beginning of an answer cannot be given"
                ),
            ));
        }
        for message in content::turn(&at, turn)? {
            messages.push(message);
            origins.push(at.clone());
        }
    }
    chat.insert("messages".into(), messages.into());
    Ok(FieldNames {
        messages: origins,
        fields: FIELDS,
    })
}

fn length(
    body: &mut Map<String, Value>,
    chat: &mut Map<String, Value>,
    demand: Demand,
) -> Result<(), GatewayError> {
    let most = fields::count(body, "max_tokens")?;
    body.remove("max_tokens");
    match most {
        Some(most) => {
            chat.insert("max_completion_tokens".into(), most.into());
            Ok(())
        }
        None if demand == Demand::Count => Ok(()),
        None => Err(GatewayError::invalid(
            "max_tokens",
            "`max_tokens` is missing: say how long the answer may get",
        )),
    }
}

fn user(body: &mut Map<String, Value>, chat: &mut Map<String, Value>) -> Result<(), GatewayError> {
    match body.remove("metadata") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Object(metadata)) => {
            if let Some(user) = fields::string(&metadata, "user_id")? {
                chat.insert("user".into(), user.into());
            }
            Ok(())
        }
        Some(other) => Err(GatewayError::invalid(
            "metadata",
            format!(
                "`metadata` is {}, but must be an object",
                fields::quoted(&other)
            ),
        )),
    }
}

/// How hard to think, and the shape of the answer.
fn effort(
    body: &mut Map<String, Value>,
    chat: &mut Map<String, Value>,
) -> Result<(), GatewayError> {
    if let Some(thinking) = body.remove("thinking").filter(|value| !value.is_null()) {
        match thinking.get("type").and_then(Value::as_str) {
            // Adaptive leaves it to the model, as silence does.
            Some("disabled" | "adaptive") => {}
            Some("enabled") => {
                let budget = thinking.get("budget_tokens").and_then(Value::as_u64);
                let effort = match budget {
                    None => {
                        return Err(GatewayError::invalid(
                            "thinking.budget_tokens",
                            "`thinking.budget_tokens` must be a whole number where thinking is enabled",
                        ));
                    }
                    Some(..=2048) => "low",
                    Some(..=8192) => "medium",
                    Some(_) => "high",
                };
                chat.insert("reasoning_effort".into(), effort.into());
            }
            _ => {
                return Err(GatewayError::invalid(
                    "thinking.type",
                    "`thinking.type` must be one of enabled, disabled, adaptive",
                ));
            }
        }
    }
    let Some(config) = body
        .remove("output_config")
        .filter(|value| !value.is_null())
    else {
        return Ok(());
    };
    if let Some(effort) = config.get("effort").filter(|value| !value.is_null()) {
        chat.insert("reasoning_effort".into(), effort.clone());
    }
    match config.get("format").filter(|value| !value.is_null()) {
        None => Ok(()),
        Some(format) => {
            chat.insert("response_format".into(), response_format(format)?);
            Ok(())
        }
    }
}

fn response_format(format: &Value) -> Result<Value, GatewayError> {
    match (
        format.get("type").and_then(Value::as_str),
        format.get("schema"),
    ) {
        (Some("json_schema"), Some(schema @ Value::Object(_))) => Ok(json!({
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": schema, "strict": true},
        })),
        _ => Err(GatewayError::invalid(
            "output_config.format",
            "`output_config.format` must be an object of type json_schema with a schema",
        )),
    }
}

fn service_tier(
    body: &mut Map<String, Value>,
    chat: &mut Map<String, Value>,
) -> Result<(), GatewayError> {
    match body.remove("service_tier") {
        None | Some(Value::Null) => Ok(()),
        Some(tier) if tier == "auto" => Ok(()),
        Some(tier) if tier == "standard_only" => {
            chat.insert("service_tier".into(), "default".into());
            Ok(())
        }
        Some(other) => Err(GatewayError::invalid(
            "service_tier",
            format!(
                "`service_tier` is {}, but must be auto or standard_only",
                fields::quoted(&other)
            ),
        )),
    }
}
