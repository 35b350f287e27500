//! A request for several answers, as one request each.

use serde_json::Value;

use crate::error::GatewayError;
use crate::types::{ChatRequest, Task, fields};

/// Answers that one request may ask of an engine in this process.
const MOST_ANSWERS: usize = 16;

/// One answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// What it answers.
    pub request: ChatRequest,
    /// Its number.
    pub index: u32,
    /// What it begins with.
    pub echo: String,
    /// Whether no answer before had the same prompt.
    pub is_new_prompt: bool,
}

/// The answers that a request asks for, in order. With a seed, each has one of its own.
pub fn parts(request: &ChatRequest, model: &str) -> Result<Vec<Part>, GatewayError> {
    let prompts = match request.task {
        Task::Complete => texts(request, model)?.into_iter().map(Some).collect(),
        Task::Chat | Task::Summarize | Task::Embed | Task::Rerank => vec![None],
    };
    let copies = request.choices as usize;
    if prompts.len().saturating_mul(copies) > MOST_ANSWERS {
        return Err(GatewayError::invalid(
            "n",
            format!(
                "`n` answers to each prompt are {} in all, but model `{model}` gives at most {MOST_ANSWERS}",
                prompts.len().saturating_mul(copies)
            ),
        ));
    }
    let echoes = fields::boolean(request.body.fields(), "echo")?.unwrap_or(false);
    let wants_probabilities = fields::present(request.body.fields(), "logprobs").is_some();
    if echoes && wants_probabilities {
        return Err(GatewayError::invalid(
            "logprobs",
            "`logprobs` of a prompt are not told: leave out `logprobs` or `echo`",
        ));
    }
    let mut parts = Vec::new();
    for prompt in prompts {
        for copy in 0..copies {
            let mut single = request.clone();
            single.choices = 1;
            single.seed = request.seed.map(|seed| seed.wrapping_add(copy as u64));
            let fields = single.body.fields_mut();
            fields.remove("n");
            fields.remove("echo");
            if let Some(prompt) = &prompt {
                fields.insert("prompt".into(), prompt.as_str().into());
            }
            parts.push(Part {
                request: single,
                index: u32::try_from(parts.len()).unwrap_or(u32::MAX),
                echo: prompt.clone().filter(|_| echoes).unwrap_or_default(),
                is_new_prompt: copy == 0,
            });
        }
    }
    Ok(parts)
}

/// The texts to go on with.
fn texts(request: &ChatRequest, model: &str) -> Result<Vec<String>, GatewayError> {
    let tokens = || GatewayError::UnsupportedField {
        model: model.to_owned(),
        field: "prompt of tokens".to_owned(),
    };
    match request.body.fields().get("prompt") {
        Some(Value::String(text)) => Ok(vec![text.clone()]),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned).ok_or_else(tokens))
            .collect(),
        _ => Err(tokens()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(body: &Value) -> ChatRequest {
        ChatRequest::of_task(Task::Complete, body.as_object().expect("an object").clone())
            .expect("valid")
    }

    #[test]
    fn every_prompt_has_n_answers() {
        let body = json!({"prompt": ["a", "b"], "n": 2, "echo": true, "seed": 7});
        let parts = parts(&request(&body), "tiny").expect("four");
        let told: Vec<_> = parts
            .iter()
            .map(|part| {
                (
                    part.index,
                    part.echo.as_str(),
                    part.is_new_prompt,
                    part.request.seed,
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                (0, "a", true, Some(7)),
                (1, "a", false, Some(8)),
                (2, "b", true, Some(7)),
                (3, "b", false, Some(8))
            ]
        );
        assert_eq!(parts[2].request.body.fields()["prompt"], "b");
    }

    #[test]
    fn too_many_answers_and_tokens_are_refused() {
        let error = parts(&request(&json!({"prompt": ["a", "b"], "n": 9})), "tiny");
        assert!(
            error
                .expect_err("eighteen")
                .to_string()
                .contains("at most 16")
        );
        let error = parts(&request(&json!({"prompt": [1, 2]})), "tiny").expect_err("tokens");
        assert!(error.to_string().contains("prompt of tokens"), "{error}");
    }
}
