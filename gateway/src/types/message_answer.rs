//! Answers of Anthropic's Messages API.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::random_digits;

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct MessageAnswer {
    /// Unique.
    pub id: String,
    /// Always `message`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Always `assistant`.
    pub role: &'static str,
    /// The model that answered.
    pub model: String,
    /// What it said.
    pub content: Vec<ContentBlock>,
    /// Why it ended.
    pub stop_reason: Option<&'static str>,
    /// The text that ended it.
    pub stop_sequence: Option<String>,
    /// What it cost.
    pub usage: MessageUsage,
}

/// A part of what a model said.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ContentBlock {
    /// Text.
    Text {
        /// The words.
        text: String,
    },
    /// What the model thought aloud.
    Thinking {
        /// The words.
        thinking: String,
        /// Empty: only Anthropic signs.
        signature: String,
    },
    /// A call of a tool.
    ToolUse {
        /// The call's name.
        id: String,
        /// The tool's name.
        name: String,
        /// The arguments.
        input: Map<String, Value>,
    },
}

/// What an answer cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MessageUsage {
    /// Tokens of the prompt that came from no cache.
    pub input_tokens: u64,
    /// Always 0: no model here tells it apart.
    pub cache_creation_input_tokens: u64,
    /// Tokens of the prompt that came from a cache.
    pub cache_read_input_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
}

/// The length of a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TokenCount {
    /// Tokens.
    pub input_tokens: u64,
}

/// A fresh id of a message.
pub fn message_id() -> String {
    format!("msg_{}", random_digits())
}
