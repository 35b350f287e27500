//! A summary as a model in this process gets it that reads the text itself. Pure.

use super::chat::fields::is_informative;
use crate::error::GatewayError;
use crate::models::EngineRequest;
use crate::types::{ChatRequest, Content, Task};

/// Fields that are honoured: the text has become the last message.
const HONOURED: [&str; 6] = [
    "model",
    "messages",
    "stream",
    "max_tokens",
    "max_completion_tokens",
    "n",
];

/// Translate for the local model of that name. What it cannot honour is refused by name.
pub fn document_request(request: &ChatRequest, model: &str) -> Result<EngineRequest, GatewayError> {
    if request.task != Task::Summarize {
        return Err(GatewayError::UnsupportedTask {
            model: model.to_owned(),
            path: request.task.path(),
        });
    }
    let other = request.body.fields().iter().find(|(field, value)| {
        // The likeliest token is always taken, as a temperature of 0 asks.
        let is_greedy = *field == "temperature" && value.as_f64() == Some(0.0);
        let is_known = HONOURED.contains(&field.as_str()) || is_informative(field);
        !is_known && !is_greedy && !value.is_null()
    });
    if let Some((field, _)) = other {
        return Err(GatewayError::UnsupportedField {
            model: model.to_owned(),
            field: field.clone(),
        });
    }
    let text = match request.messages.last().map(|message| &message.content) {
        Some(Content::Text(text)) => text.clone(),
        _ => return Err(GatewayError::Internal),
    };
    Ok(EngineRequest {
        prompt: Some(text),
        max_tokens: request.max_tokens,
        ..EngineRequest::default()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::conversion::summary;

    fn translated(body: &Value) -> Result<EngineRequest, GatewayError> {
        let body = body.as_object().expect("an object").clone();
        document_request(&summary::chat_request(body)?, "tiny")
    }

    #[test]
    fn the_text_alone_is_read() {
        let body = json!({"text": "long", "max_tokens": 9, "temperature": 0, "stream": true, "user": "kim"});
        let request = translated(&body).expect("supported");
        assert_eq!(request.prompt, Some("long".to_owned()));
        assert_eq!(request.max_tokens, Some(9));
    }

    #[test]
    fn what_would_change_the_answer_is_refused_by_name() {
        for (field, value) in [
            ("temperature", json!(1)),
            ("stop", json!(".")),
            ("seed", json!(7)),
        ] {
            let mut body = json!({"text": "long"});
            body[field] = value;
            let error = translated(&body).expect_err("unsupported");
            assert!(error.to_string().contains(field), "{error}");
        }
    }

    #[test]
    fn a_chat_is_another_task() {
        let body = json!({"messages": [{"role": "user", "content": "hi"}]});
        let chat = ChatRequest::from_object(body.as_object().expect("an object").clone());
        let error = document_request(&chat.expect("valid"), "tiny").expect_err("a chat");
        assert!(
            matches!(error, GatewayError::UnsupportedTask { .. }),
            "{error}"
        );
    }
}
