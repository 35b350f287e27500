//! A request as the engine in this process gets it. What the engine cannot honour is refused by name, never dropped.

use serde_json::{Map, Value};

use super::chat::fields::{is_informative, says_nothing};
use crate::error::GatewayError;
use crate::models::{Cancellation, EngineRequest};
use crate::respond::{ChatMessage, Role};
use crate::types::{ChatRequest, Content, Message};

/// Fields that the engine honours.
const HONOURED: [&str; 11] = [
    "messages",
    "model",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "top_k",
    "seed",
    "stop",
];

/// Translate for the local model of that name.
pub fn engine_request(request: &ChatRequest, model: &str) -> Result<EngineRequest, GatewayError> {
    Ok(EngineRequest {
        messages: engine_messages(request, model)?,
        max_tokens: request.max_tokens,
        temperature: request.temperature.map(single),
        top_p: request.top_p.map(single),
        top_k: request.top_k,
        seed: request.seed,
        stop: request.stop.clone(),
        cancellation: Cancellation::default(),
    })
}

/// The conversation for the local model of that name, if it can honour the whole request.
pub fn engine_messages(
    request: &ChatRequest,
    model: &str,
) -> Result<Vec<ChatMessage>, GatewayError> {
    let unsupported = |field: String| GatewayError::UnsupportedField {
        model: model.to_owned(),
        field,
    };
    if let Some(field) = first_unsupported(&request.body) {
        return Err(unsupported(field));
    }
    request
        .messages
        .iter()
        .enumerate()
        .map(|(index, message)| {
            chat_message(message).map_err(|what| unsupported(format!("messages[{index}].{what}")))
        })
        .collect()
}

fn first_unsupported(body: &Map<String, Value>) -> Option<String> {
    body.iter()
        .find(|(field, value)| {
            let field = field.as_str();
            !HONOURED.contains(&field) && !is_informative(field) && !says_nothing(field, value)
        })
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
    #[case("n", json!(2), "n")]
    #[case("frequency_penalty", json!(0.5), "frequency_penalty")]
    #[case("novel_field", json!(0), "novel_field")]
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
    #[case("response_format", json!({"type": "text"}))]
    #[case("presence_penalty", json!(0))]
    #[case("user", json!("kim"))]
    #[case("anything", json!(null))]
    fn a_default_is_no_demand(#[case] field: &str, #[case] value: Value) {
        let request = convert(field, value).expect("supported");
        assert_eq!(
            request.messages,
            [ChatMessage {
                role: Role::System,
                content: "be kind".into()
            }]
        );
    }
}
