//! A whole answer of the Messages API as a chat completion.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::stop::finish_reason;
use super::usage::Counted;
use crate::conversion::Fault;
use crate::types::{ChatCompletion, Choice, unix_seconds};

#[derive(Deserialize)]
struct Message {
    id: String,
    #[serde(default)]
    model: String,
    content: Vec<Block>,
    stop_reason: Option<String>,
    stop_sequence: Option<String>,
    #[serde(default)]
    usage: Counted,
}

/// A part of an answer.
#[derive(Deserialize, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block {
    Text {
        text: String,
    },
    Thinking {
        thinking: String,
        #[serde(default)]
        signature: String,
    },
    RedactedThinking {
        data: String,
    },
    ToolUse {
        id: String,
        name: String,
        #[serde(default)]
        input: Value,
    },
    /// What tools of Anthropic's own did.
    #[serde(other)]
    Other,
}

/// Read an answer.
pub fn completion(body: &[u8]) -> Result<ChatCompletion, Fault> {
    let message: Message =
        serde_json::from_slice(body).map_err(|_| Fault::Malformed("no message"))?;
    let mut choice = Choice {
        index: 0,
        message: said(message.content),
        finish_reason: message
            .stop_reason
            .as_deref()
            .map(|reason| finish_reason(reason).to_owned()),
        extra: Map::new(),
    };
    if let Some(sequence) = message.stop_sequence {
        choice.extra.insert("stop_reason".into(), sequence.into());
    }
    Ok(ChatCompletion {
        id: message.id,
        object: "chat.completion".to_owned(),
        created: unix_seconds(),
        model: message.model,
        choices: vec![choice],
        usage: Some(message.usage.usage()),
        extra: Map::new(),
    })
}

fn said(blocks: Vec<Block>) -> Map<String, Value> {
    let (mut text, mut thoughts) = (String::new(), String::new());
    let (mut calls, mut signed) = (Vec::new(), Vec::new());
    for block in blocks {
        match &block {
            Block::Text { text: more } => text.push_str(more),
            Block::Thinking { thinking, .. } => {
                thoughts.push_str(thinking);
                signed.push(json!(block));
            }
            Block::RedactedThinking { .. } => signed.push(json!(block)),
            Block::ToolUse { id, name, input } => calls.push(json!({
                "id": id, "type": "function",
                "function": {"name": name, "arguments": input.to_string()},
            })),
            Block::Other => {}
        }
    }
    let content = (!text.is_empty() || calls.is_empty()).then_some(text);
    let mut message = Map::new();
    message.insert("role".into(), "assistant".into());
    message.insert("content".into(), content.into());
    for (field, value) in [
        (
            "reasoning_content",
            (!thoughts.is_empty()).then(|| thoughts.into()),
        ),
        (
            "thinking_blocks",
            (!signed.is_empty()).then(|| signed.into()),
        ),
        ("tool_calls", (!calls.is_empty()).then(|| calls.into())),
    ] {
        message.extend(value.map(|value: Value| (field.to_owned(), value)));
    }
    message
}
