//! A chat as a request of the Messages API. What Anthropic cannot do is refused by name, never dropped.

use serde_json::{Map, Value, json};

use super::{messages, tools};
use crate::conversion::Target;
use crate::conversion::chat::demands::{Format, edit_at, effort, format, number};
use crate::conversion::chat::fields::{is_demanding, is_informative, says_nothing};
use crate::conversion::chat::turns::turns;
use crate::error::GatewayError;
use crate::types::ChatRequest;

/// Anthropic wants a limit; every model allows this one.
const MAX_TOKENS: u32 = 4096;
/// The same for an answer that is thought about, which counts, too.
const MAX_TOKENS_THINKING: u32 = 16_000;
/// Anthropic's scale ends where OpenAI's is halfway.
const HOTTEST: f64 = 1.0;

/// The body for the API.
pub fn request(
    request: &ChatRequest,
    target: &Target<'_>,
) -> Result<Map<String, Value>, GatewayError> {
    let mut body = Map::new();
    for (field, value) in request.body.fields() {
        add(&mut body, field, value, target)?;
    }
    let conversation = messages::conversation(&turns(request, target)?, target)?;
    if !conversation.system.is_empty() {
        body.insert("system".into(), conversation.system.into());
    }
    body.insert("messages".into(), conversation.messages.into());
    tools::add(&mut body, request.body.fields(), target)?;
    let thinking = body.get("thinking").and_then(|mode| mode.get("type"));
    let thinks = thinking.is_some_and(|mode| mode != "disabled");
    let default = if thinks {
        MAX_TOKENS_THINKING
    } else {
        MAX_TOKENS
    };
    body.insert(
        "max_tokens".into(),
        request.max_tokens.unwrap_or(default).into(),
    );
    body.insert("model".into(), target.model.into());
    if request.stream {
        body.insert("stream".into(), true.into());
    }
    Ok(body)
}

fn add(
    body: &mut Map<String, Value>,
    field: &str,
    value: &Value,
    target: &Target<'_>,
) -> Result<(), GatewayError> {
    match field {
        // Told elsewhere, or by the stream itself.
        "model"
        | "messages"
        | "max_tokens"
        | "max_completion_tokens"
        | "stream"
        | "stream_options"
        | "tools"
        | "tool_choice"
        | "parallel_tool_calls" => {}
        _ if value.is_null() => {}
        "temperature" => {
            if value.as_f64().is_some_and(|heat| heat > HOTTEST) {
                let remedy = "give at most 1, or use a model that takes more";
                return Err(target.unsupported(field, remedy));
            }
            body.insert(field.into(), number(field, value)?);
        }
        "stop" => {
            let stops = match value {
                Value::String(stop) => json!([stop]),
                stops => stops.clone(),
            };
            body.insert("stop_sequences".into(), stops);
        }
        "response_format" => match format(value)? {
            Format::Text => {}
            Format::JsonObject => {
                let remedy = "say json_schema instead of json_object";
                return Err(target.unsupported("response_format.type", remedy));
            }
            Format::JsonSchema(schema) => {
                let form = json!({"type": "json_schema", "schema": schema});
                edit_at(body, "output_config", |config| {
                    config.insert("format".into(), form);
                });
            }
        },
        "reasoning_effort" => think(body, effort(value)?),
        // Said by the caller in Anthropic's own words: what was said by other fields stays.
        "output_config" => {
            if let Value::Object(given) = value {
                edit_at(body, field, |config| config.extend(given.clone()));
            } else {
                body.insert(field.into(), value.clone());
            }
        }
        "user" | "safety_identifier" => {
            edit_at(body, "metadata", |metadata| {
                metadata.insert("user_id".into(), value.clone());
            });
        }
        "service_tier" => match value.as_str() {
            Some("auto" | "standard_only") => {
                body.insert(field.into(), value.clone());
            }
            Some("default") => {
                body.insert(field.into(), "standard_only".into());
            }
            _ => return Err(target.unsupported(field, "use auto or default")),
        },
        _ if is_informative(field) || says_nothing(field, value) => {}
        _ if is_demanding(field) => {
            let remedy = "leave it out, or use a model that has it";
            return Err(target.unsupported(field, remedy));
        }
        _ => {
            body.insert(field.into(), value.clone());
        }
    }
    Ok(())
}

/// Models before Claude 4.6 want `thinking` with a budget, which passes as it is.
fn think(body: &mut Map<String, Value>, effort: &str) {
    let effort = match effort {
        "none" => {
            body.entry("thinking")
                .or_insert_with(|| json!({"type": "disabled"}));
            return;
        }
        "minimal" => "low",
        effort => effort,
    };
    body.entry("thinking")
        .or_insert_with(|| json!({"type": "adaptive"}));
    edit_at(body, "output_config", |config| {
        config.entry("effort").or_insert_with(|| effort.into());
    });
}
