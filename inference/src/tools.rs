//! Functions that a model may call: how it is told of them, how it is held to them, and how its calls are found in what
//! it says.

mod call_parser;
mod call_scanner;
mod format;
mod outcome;
mod prompt;
mod rules;

use serde_json::{Map, Value};

pub(crate) use call_parser::CallParser;
#[cfg(test)]
pub(crate) use call_parser::Said;
pub(crate) use format::ToolFormat;
pub(crate) use outcome::with_calls;
pub(crate) use prompt::in_plain_words;
pub(crate) use rules::{MAX_TOOLS, rules};

/// A function that a model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// Letters, digits, `_`, `-` and `.`; no two tools have the same.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// A JSON schema of its arguments, which are an object; without one there are none.
    pub parameters: Option<Value>,
    /// Whether a call follows the schema even where the model is free not to call.
    pub is_strict: bool,
}

/// Whether a model calls tools.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// As it likes.
    #[default]
    Auto,
    /// It does not, and is not told of them.
    None,
    /// It calls at least one.
    Required,
    /// It calls the one of this name.
    Named(String),
}

/// A call that a model made earlier in the conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// What its result refers to.
    pub id: String,
    /// The tool.
    pub name: String,
    /// The arguments.
    pub arguments: Map<String, Value>,
}

/// A piece of a call as a model makes it. The pieces of one call come one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCallPiece {
    /// The number of the call in the answer, from 0.
    pub index: usize,
    /// What the call is; only in its first piece.
    pub begin: Option<ToolCallBegin>,
    /// More of the arguments, as JSON.
    pub arguments: String,
}

/// What is known of a call when it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCallBegin {
    /// Unique.
    pub id: String,
    /// The tool.
    pub name: String,
}

impl Tool {
    /// The schema of its arguments.
    pub(crate) fn schema(&self) -> Value {
        let none = || serde_json::json!({"type": "object", "properties": {}, "additionalProperties": false});
        self.parameters.clone().unwrap_or_else(none)
    }

    /// As OpenAI's API has it, which is how chat templates want it.
    pub(crate) fn to_json(&self) -> Value {
        let mut function = Map::new();
        function.insert("name".to_owned(), self.name.clone().into());
        if let Some(description) = &self.description {
            function.insert("description".to_owned(), description.clone().into());
        }
        let parameters = self.parameters.clone();
        let parameters =
            parameters.unwrap_or_else(|| serde_json::json!({"type": "object", "properties": {}}));
        function.insert("parameters".to_owned(), parameters);
        serde_json::json!({"type": "function", "function": function})
    }
}
