//! Chat completions, whole and in pieces. Fields that we do not know pass through.

use std::time::{SystemTime, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::open_object::open_object;
use super::random_digits;

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ChatCompletion {
    /// Unique.
    #[serde(default = "completion_id")]
    pub id: String,
    /// Always `chat.completion`.
    #[serde(default)]
    pub object: String,
    /// Seconds since 1970.
    #[serde(default = "unix_seconds")]
    pub created: u64,
    /// The model that answered.
    #[serde(default)]
    pub model: String,
    /// The answers; embeddings and rankings have none.
    #[serde(default)]
    pub choices: Vec<Choice>,
    /// What it cost.
    #[serde(default)]
    pub usage: Option<Usage>,
    /// The rest.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Choice {
    /// Its number.
    #[serde(default)]
    pub index: u32,
    /// What the model said; completions of a text say it in `text`.
    #[serde(default)]
    pub message: Map<String, Value>,
    /// Why it ended.
    #[serde(default)]
    pub finish_reason: Option<String>,
    /// The rest.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ChatChunk {
    /// The same for all pieces of an answer.
    #[serde(default)]
    pub id: String,
    /// Always `chat.completion.chunk`.
    #[serde(default)]
    pub object: String,
    /// Seconds since 1970.
    #[serde(default = "unix_seconds")]
    pub created: u64,
    /// The model that answers.
    #[serde(default)]
    pub model: String,
    /// Empty in the piece that carries the usage.
    #[serde(default)]
    pub choices: Vec<ChunkChoice>,
    /// What it cost, in the last piece.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The rest.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A piece of one answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct ChunkChoice {
    /// The answer's number.
    #[serde(default)]
    pub index: u32,
    /// What is new.
    #[serde(default)]
    pub delta: Delta,
    /// Why it ended.
    #[serde(default)]
    pub finish_reason: Option<String>,
    /// The rest.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What is new in a piece.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Delta {
    /// In the first piece.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Tool calls, refusals and whatever comes next.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What an answer cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Usage {
    /// Tokens of the conversation.
    #[serde(default)]
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    #[serde(default)]
    pub completion_tokens: u64,
    /// Both.
    #[serde(default)]
    pub total_tokens: u64,
    /// Details.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

open_object!(ChatCompletion {
    id = completion_id,
    object = String::new,
    created = unix_seconds,
    model = String::new,
    choices = Vec::new,
    usage = Option::default,
});

open_object!(Choice {
    index = u32::default,
    message = Map::new,
    finish_reason = Option::default,
});

open_object!(ChatChunk {
    id = String::new,
    object = String::new,
    created = unix_seconds,
    model = String::new,
    choices = Vec::new,
    usage = Option::default,
});

open_object!(ChunkChoice {
    index = u32::default,
    delta = Delta::default,
    finish_reason = Option::default,
});

open_object!(Delta {
    role = Option::default,
    content = Option::default,
});

open_object!(Usage {
    prompt_tokens = u64::default,
    completion_tokens = u64::default,
    total_tokens = u64::default,
});

impl Usage {
    /// Counted tokens.
    pub fn new(prompt_tokens: u64, completion_tokens: u64) -> Self {
        Self {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens + completion_tokens,
            extra: Map::new(),
        }
    }

    /// Of the prompt, so many tokens did not have to be computed.
    #[must_use]
    pub fn with_cached(mut self, tokens: u64) -> Self {
        let details = json!({"cached_tokens": tokens});
        self.extra.insert("prompt_tokens_details".into(), details);
        self
    }

    /// The tokens of the prompt that did not have to be computed; none where nothing is said of them.
    pub fn cached_tokens(&self) -> u64 {
        let details = self.extra.get("prompt_tokens_details");
        details
            .and_then(|details| details.get("cached_tokens")?.as_u64())
            .unwrap_or(0)
    }

    /// The same where an API tells only the sum, as those do that say nothing of their own.
    #[must_use]
    pub fn completed(mut self) -> Self {
        if self.prompt_tokens == 0 {
            self.prompt_tokens = self.total_tokens.saturating_sub(self.completion_tokens);
        }
        self
    }

    /// A guess for an API that does not count: four bytes a token. `"estimated": true` says so.
    pub fn estimate(prompt_bytes: usize, completion_bytes: usize) -> Self {
        let tokens = |bytes: usize| bytes.div_ceil(4) as u64;
        let mut usage = Self::new(tokens(prompt_bytes), tokens(completion_bytes));
        usage.extra.insert("estimated".into(), Value::Bool(true));
        usage
    }
}

impl ChatChunk {
    /// A piece of the first and only answer.
    pub fn piece(id: &str, model: &str, delta: Delta, finish_reason: Option<String>) -> Self {
        Self {
            choices: vec![ChunkChoice {
                delta,
                finish_reason,
                ..ChunkChoice::default()
            }],
            ..Self::of_usage(id, model, None)
        }
    }

    /// The piece without an answer that ends a stream.
    pub fn of_usage(id: &str, model: &str, usage: Option<Usage>) -> Self {
        Self {
            id: id.to_owned(),
            object: "chat.completion.chunk".to_owned(),
            created: unix_seconds(),
            model: model.to_owned(),
            choices: Vec::new(),
            usage,
            extra: Map::new(),
        }
    }

    /// Whether a client that sees this piece has seen part of the answer.
    pub fn has_content(&self) -> bool {
        self.choices.iter().any(|choice| {
            choice.finish_reason.is_some()
                || choice
                    .delta
                    .content
                    .as_ref()
                    .is_some_and(|text| !text.is_empty())
                || choice.delta.extra.values().any(|value| !is_blank(value))
                // Completions of a text say it beside the delta.
                || choice.extra.get("text").is_some_and(|text| !is_blank(text))
        })
    }

    /// Whether every later piece can only be about usage.
    pub fn is_last_of_answer(&self) -> bool {
        self.choices
            .iter()
            .any(|choice| choice.finish_reason.is_some())
    }
}

impl Delta {
    /// The beginning of an answer.
    pub fn role() -> Self {
        Self {
            role: Some("assistant".into()),
            content: Some(String::new()),
            ..Self::default()
        }
    }

    /// A piece of text.
    pub fn text(text: String) -> Self {
        Self {
            content: Some(text),
            ..Self::default()
        }
    }
}

fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// A fresh id of a completion.
pub fn completion_id() -> String {
    format!("chatcmpl-{}", random_digits())
}

/// Now.
pub fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_of_a_chunk_pass_through() {
        let json = json!({
            "id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "m", "system_fingerprint": "fp",
            "choices": [{"index": 0, "delta": {"tool_calls": [{"id": "t"}]}, "logprobs": null, "finish_reason": null}],
        });
        let chunk: ChatChunk = serde_json::from_value(json.clone()).expect("parses");
        assert_eq!(serde_json::to_value(&chunk).expect("serializes"), json);
        assert!(chunk.has_content() && !chunk.is_last_of_answer());
    }

    #[test]
    fn a_role_alone_is_no_content() {
        assert!(!ChatChunk::piece("c", "m", Delta::role(), None).has_content());
        assert!(ChatChunk::piece("c", "m", Delta::text("x".into()), None).has_content());
        assert!(ChatChunk::piece("c", "m", Delta::default(), Some("stop".into())).has_content());
    }

    #[test]
    fn an_estimate_says_that_it_is_one() {
        let usage = serde_json::to_value(Usage::estimate(9, 4)).expect("serializes");
        assert_eq!(
            usage,
            json!({"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4, "estimated": true})
        );
    }
}
