//! What a model is asked for.

use serde_json::Value;

use super::RequestBody;

/// What OpenAI's completions of a text have in tokens at most, where the client does not say.
pub const MOST_TOKENS_OF_A_TEXT: u32 = 16;

/// The kinds of request that models know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// To answer a conversation.
    Chat,
    /// To summarize a text, asked as a chat.
    Summarize,
    /// To go on with a text.
    Complete,
    /// To turn texts into vectors.
    Embed,
    /// To sort documents by what they say about a question.
    Rerank,
}

impl Task {
    /// The path of remote APIs, after their base URL.
    pub fn path(self) -> &'static str {
        match self {
            Self::Chat | Self::Summarize => "chat/completions",
            Self::Complete => "completions",
            Self::Embed => "embeddings",
            Self::Rerank => "rerank",
        }
    }

    /// The `object` of an answer, where OpenAI names one.
    pub fn object(self) -> Option<&'static str> {
        match self {
            Self::Chat | Self::Summarize => Some("chat.completion"),
            Self::Complete => Some("text_completion"),
            Self::Embed => Some("list"),
            Self::Rerank => None,
        }
    }

    /// Bytes of what a model reads in the body of such a request; messages are not among it.
    pub fn text_bytes(self, body: &RequestBody) -> usize {
        let fields: &[&str] = match self {
            Self::Chat | Self::Summarize => &[],
            Self::Complete => &["prompt"],
            Self::Embed => &["input"],
            Self::Rerank => &["query", "documents"],
        };
        let values = fields.iter().filter_map(|field| body.fields().get(*field));
        values.map(text_bytes).sum()
    }
}

fn text_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(text_bytes).sum(),
        Value::Object(fields) => fields.values().map(text_bytes).sum(),
        // A token, of four bytes by and large.
        Value::Number(_) => 4,
        Value::Null | Value::Bool(_) => 0,
    }
}
