//! A request as the engine in this process gets it. What the engine cannot honour is refused by name, never dropped.

mod conversation;
mod format;
mod sampling;
mod tools;

use serde_json::{Map, Value};

use super::chat::fields::{is_informative, says_nothing};
use crate::error::GatewayError;
use crate::models::EngineRequest;
use crate::types::{ChatRequest, MOST_TOKENS_OF_A_TEXT, Task, fields};
pub use format::field as format_field;

/// Fields that the engine honours, whatever it is asked.
pub const HONOURED: [&str; 21] = [
    "model",
    "n",
    "stream",
    "stream_options",
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "logit_bias",
    "logprobs",
    "response_format",
    "structured_outputs",
    "guided_json",
    "guided_regex",
    "guided_choice",
    "seed",
    "stop",
];
/// And in chats.
const HONOURED_IN_CHATS: [&str; 6] = [
    "messages",
    "max_completion_tokens",
    "top_logprobs",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
];
/// And where it goes on with a text.
const HONOURED_IN_TEXTS: [&str; 2] = ["prompt", "echo"];

/// Translate for the local model of that name.
pub fn engine_request(request: &ChatRequest, model: &str) -> Result<EngineRequest, GatewayError> {
    let body = request.body.fields();
    let also: &[&str] = match request.task {
        Task::Chat | Task::Summarize => &HONOURED_IN_CHATS,
        Task::Complete => &HONOURED_IN_TEXTS,
        Task::Embed | Task::Rerank => {
            return Err(GatewayError::UnsupportedTask {
                model: model.to_owned(),
                path: request.task.path(),
            });
        }
    };
    if let Some(field) = first_unsupported(body, also) {
        return Err(unsupported(model, field));
    }
    let mut translated = EngineRequest {
        max_tokens: request.max_tokens,
        stop: request.stop.clone(),
        format: format::format(body, model)?,
        ..sampling::sampling(request)?
    };
    if request.task == Task::Complete {
        translated.prompt = Some(fields::string(body, "prompt")?.unwrap_or_default());
        translated.max_tokens = request.max_tokens.or(Some(MOST_TOKENS_OF_A_TEXT));
        return Ok(translated);
    }
    translated.messages = conversation::messages(request, model)?;
    translated.tools = tools::tools(body, model)?;
    translated.tool_choice = tools::tool_choice(body, model)?;
    let is_parallel = fields::boolean(body, "parallel_tool_calls")?;
    translated.single_tool_call = is_parallel == Some(false);
    Ok(translated)
}

fn unsupported(model: &str, field: String) -> GatewayError {
    GatewayError::UnsupportedField {
        model: model.to_owned(),
        field,
    }
}

fn first_unsupported(body: &Map<String, Value>, also: &[&str]) -> Option<String> {
    if let Some(field) = beside_usage(body) {
        return Some(format!("stream_options.{field}"));
    }
    body.iter()
        .find(|(field, value)| {
            let field = field.as_str();
            !HONOURED.contains(&field)
                && !also.contains(&field)
                && !is_informative(field)
                && !asks_for_nothing(field, value)
        })
        .map(|(field, _)| field.clone())
}

/// Clients send defaults; a default changes nothing.
fn asks_for_nothing(field: &str, value: &Value) -> bool {
    match (field, value) {
        // Of requests without tools: there is nothing to choose or to call.
        ("parallel_tool_calls", Value::Bool(_)) => true,
        ("tool_choice", Value::String(choice)) if choice == "auto" => true,
        ("best_of", value) if value.as_u64() == Some(1) => true,
        ("suffix", Value::String(text)) if text.is_empty() => true,
        ("top_logprobs", value) if value.as_u64() == Some(0) => true,
        (field, value) => says_nothing(field, value),
    }
}

/// What a stream is to tell beside its usage.
fn beside_usage(body: &Map<String, Value>) -> Option<&str> {
    let options = body.get("stream_options")?.as_object()?;
    let says = |(field, value): &(&String, &Value)| {
        *field != "include_usage" && !value.is_null() && **value != Value::Bool(false)
    };
    options.iter().find(says).map(|(field, _)| field.as_str())
}

/// A member that is not among those known, and not empty.
fn first_unknown<'a>(object: &'a Map<String, Value>, known: &[&str]) -> Option<&'a str> {
    let is_empty = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    let mut members = object.iter();
    let unknown = members.find(|(name, value)| !known.contains(&name.as_str()) && !is_empty(value));
    unknown.map(|(name, _)| name.as_str())
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a sampling parameter needs no more than single precision"
)]
fn single(number: f64) -> f32 {
    number as f32
}

#[cfg(test)]
mod tests;
