//! A request as the engine in this process gets it. What the engine cannot honour is refused by name, never dropped.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::chat::fields::{is_informative, says_nothing};
use crate::error::GatewayError;
use crate::models::{Cancellation, EngineRequest, Prompt};
use crate::respond::{ChatMessage, Role};
use crate::types::{ChatRequest, Content, MOST_TOKENS_OF_A_TEXT, Message, Task, fields};

/// Fields that the engine honours, whatever it is asked.
pub const HONOURED: [&str; 10] = [
    "model",
    "n",
    "stream",
    "stream_options",
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "seed",
    "stop",
];
/// And in chats.
const HONOURED_IN_CHATS: [&str; 2] = ["messages", "max_completion_tokens"];
/// And where it goes on with a text.
const HONOURED_IN_TEXTS: [&str; 2] = ["prompt", "echo"];

/// Translate for the local model of that name.
pub fn engine_request(request: &ChatRequest, model: &str) -> Result<EngineRequest, GatewayError> {
    let max_tokens = match request.task {
        Task::Complete => request.max_tokens.or(Some(MOST_TOKENS_OF_A_TEXT)),
        Task::Chat | Task::Embed | Task::Rerank => request.max_tokens,
    };
    Ok(EngineRequest {
        prompt: prompt(request, model)?,
        max_tokens,
        temperature: request.temperature.map(single),
        top_p: request.top_p.map(single),
        top_k: request.top_k,
        seed: request.seed,
        stop: request.stop.clone(),
        cancellation: Cancellation::default(),
        client: Arc::default(),
    })
}

fn prompt(request: &ChatRequest, model: &str) -> Result<Prompt, GatewayError> {
    match request.task {
        Task::Chat => engine_messages(request, model).map(Prompt::Conversation),
        Task::Complete => {
            if let Some(field) = first_unsupported(&request.body, &HONOURED_IN_TEXTS) {
                return Err(unsupported(model, field));
            }
            let text = fields::string(&request.body, "prompt")?.unwrap_or_default();
            Ok(Prompt::Text(text))
        }
        Task::Embed | Task::Rerank => Err(GatewayError::UnsupportedTask {
            model: model.to_owned(),
            path: request.task.path(),
        }),
    }
}

fn unsupported(model: &str, field: String) -> GatewayError {
    GatewayError::UnsupportedField {
        model: model.to_owned(),
        field,
    }
}

/// The conversation for the local model of that name, if it can honour the whole request.
pub fn engine_messages(
    request: &ChatRequest,
    model: &str,
) -> Result<Vec<ChatMessage>, GatewayError> {
    if let Some(field) = first_unsupported(&request.body, &HONOURED_IN_CHATS) {
        return Err(unsupported(model, field));
    }
    let sent = request.body.get("messages").and_then(Value::as_array);
    let fields = |index: usize| sent.and_then(|sent| sent.get(index)?.as_object());
    request
        .messages
        .iter()
        .enumerate()
        .map(|(index, message)| {
            chat_message(message)
                .and_then(|said| {
                    let beside = fields(index).and_then(first_beside_content);
                    beside.map_or(Ok(said), Err)
                })
                .map_err(|what| unsupported(model, format!("messages[{index}].{what}")))
        })
        .collect()
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
        // Without tools, which are refused on their own, there is nothing to choose or to call.
        ("parallel_tool_calls", Value::Bool(_)) => true,
        ("tool_choice", Value::String(choice)) if choice == "auto" => true,
        ("best_of", value) if value.as_u64() == Some(1) => true,
        ("suffix", Value::String(text)) if text.is_empty() => true,
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

/// What a message says beside its text. Clients send answers back as they came, with empty fields.
fn first_beside_content(message: &Map<String, Value>) -> Option<String> {
    let is_empty = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    message
        .iter()
        .find(|(field, value)| !matches!(field.as_str(), "role" | "content") && !is_empty(value))
        .map(|(field, _)| field.clone())
}

/// The error is the part of the message that is not supported.
fn chat_message(message: &Message) -> Result<ChatMessage, String> {
    let role = match message.role {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        other => return Err(format!("role {other}")),
    };
    match &message.content {
        Content::Text(content) => Ok(ChatMessage {
            role,
            content: content.clone(),
        }),
        Content::Other(kind) => Err(format!("content of type {kind}")),
        Content::Absent => Err("tool_calls".to_owned()),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a sampling parameter needs no more than single precision"
)]
fn single(number: f64) -> f32 {
    number as f32
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn request(field: &str, value: Value) -> ChatRequest {
        let mut body = json!({"messages": [{"role": "developer", "content": "be kind"}]});
        body[field] = value;
        let Value::Object(object) = body else {
            panic!("not an object")
        };
        ChatRequest::from_object(object).expect("valid")
    }

    fn convert(field: &str, value: Value) -> Result<EngineRequest, GatewayError> {
        engine_request(&request(field, value), "tiny")
    }

    #[rstest]
    #[case("tools", json!([{"type": "function"}]), "tools")]
    #[case("response_format", json!({"type": "json_object"}), "response_format")]
    #[case("logprobs", json!(true), "logprobs")]
    #[case("frequency_penalty", json!(0.5), "frequency_penalty")]
    #[case("novel_field", json!(0), "novel_field")]
    #[case("messages", json!([{"role": "user", "content": "x", "name": "kim"}]), "messages[0].name")]
    #[case("messages", json!([{"role": "tool", "content": "x"}]), "messages[0].role tool")]
    #[case(
        "messages",
        json!([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]),
        "messages[0].content of type image_url"
    )]
    fn what_the_engine_cannot_honour_is_refused_by_name(
        #[case] field: &str,
        #[case] value: Value,
        #[case] expected: &str,
    ) {
        let error = convert(field, value).expect_err("unsupported");
        let GatewayError::UnsupportedField { model, field } = error else {
            panic!("{error}")
        };
        assert_eq!((model.as_str(), field.as_str()), ("tiny", expected));
    }

    #[rstest]
    #[case("n", json!(1))]
    #[case("tools", json!([]))]
    #[case("tool_choice", json!("none"))]
    #[case("parallel_tool_calls", json!(true))]
    #[case("messages", json!([{"role": "developer", "content": "be kind", "refusal": null, "annotations": []}]))]
    #[case("response_format", json!({"type": "text"}))]
    #[case("presence_penalty", json!(0))]
    #[case("user", json!("kim"))]
    #[case("anything", json!(null))]
    fn a_default_is_no_demand(#[case] field: &str, #[case] value: Value) {
        let request = convert(field, value).expect("supported");
        assert_eq!(
            request.prompt,
            Prompt::Conversation(vec![ChatMessage {
                role: Role::System,
                content: "be kind".into()
            }])
        );
    }
}
