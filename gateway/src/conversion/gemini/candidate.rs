//! What Gemini generated, whole or a piece of it: both have the same form.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::finish::finish_reason;
use super::log_probabilities::LogProbabilities;
use super::usage::Counted;
use crate::conversion::Fault;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Generated {
    #[serde(default)]
    pub(super) candidates: Vec<Candidate>,
    pub(super) prompt_feedback: Option<PromptFeedback>,
    pub(super) usage_metadata: Option<Counted>,
    #[serde(default)]
    pub(super) model_version: String,
    #[serde(default)]
    pub(super) response_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PromptFeedback {
    pub(super) block_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Candidate {
    #[serde(default)]
    pub(super) index: u32,
    #[serde(default)]
    content: Content,
    finish_reason: Option<String>,
    logprobs_result: Option<LogProbabilities>,
}

#[derive(Default, Deserialize)]
struct Content {
    #[serde(default)]
    parts: Vec<Part>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    text: Option<String>,
    #[serde(default)]
    thought: bool,
    function_call: Option<FunctionCall>,
    thought_signature: Option<String>,
}

#[derive(Deserialize)]
struct FunctionCall {
    id: Option<String>,
    name: String,
    #[serde(default)]
    args: Map<String, Value>,
}

/// What a candidate says, in OpenAI's words.
pub(super) struct Said {
    pub(super) text: String,
    pub(super) thoughts: String,
    pub(super) calls: Vec<Value>,
    pub(super) finish_reason: Option<String>,
    pub(super) log_probabilities: Option<Value>,
}

impl Candidate {
    /// `calls_before` counts the calls of earlier pieces; `id` is the answer's.
    pub(super) fn said(self, id: &str, calls_before: usize) -> Result<Said, Fault> {
        let mut said = Said {
            text: String::new(),
            thoughts: String::new(),
            calls: Vec::new(),
            finish_reason: None,
            log_probabilities: self.logprobs_result.map(|tokens| tokens.told()),
        };
        for part in self.content.parts {
            if let Some(call) = part.function_call {
                let number = calls_before + said.calls.len();
                let place = format!("{id}_{}_{number}", self.index);
                said.calls
                    .push(call.told(&place, part.thought_signature.as_deref()));
            } else if let Some(text) = part.text {
                let place = if part.thought {
                    &mut said.thoughts
                } else {
                    &mut said.text
                };
                place.push_str(&text);
            }
        }
        let has_calls = calls_before + said.calls.len() > 0;
        let reason = self.finish_reason.as_deref();
        let reason = reason.map(|reason| finish_reason(reason, has_calls));
        said.finish_reason = reason.transpose()?.map(str::to_owned);
        Ok(said)
    }
}

impl FunctionCall {
    /// Not every version of the API names its calls.
    fn told(&self, place: &str, signature: Option<&str>) -> Value {
        let id = self.id.clone().unwrap_or_else(|| format!("call_{place}"));
        let arguments = Value::Object(self.args.clone()).to_string();
        let mut call = json!({
            "id": id, "type": "function",
            "function": {"name": self.name, "arguments": arguments},
        });
        if let Some(signature) = signature {
            call["extra_content"] = json!({"google": {"thought_signature": signature}});
        }
        call
    }
}

impl Generated {
    /// Why there is no answer at all.
    pub(super) fn refusal(&self) -> Option<String> {
        let feedback = self.prompt_feedback.as_ref()?;
        let reason = feedback.block_reason.as_ref()?;
        self.candidates
            .is_empty()
            .then(|| format!("the prompt was blocked ({reason})"))
    }
}
