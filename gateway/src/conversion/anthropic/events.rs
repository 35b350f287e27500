//! A streamed answer of the Messages API, event by event, as pieces of a chat completion.
//! <https://docs.anthropic.com/en/docs/build-with-claude/streaming>

use std::collections::HashMap;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer::Block;
use super::stop::finish_reason;
use super::usage::Counted;
use crate::conversion::{Fault, Piece};
use crate::error::ErrorDetail;
use crate::types::{ChatChunk, Delta};

/// What is known of an answer so far.
#[derive(Debug, Default)]
pub struct Events {
    id: String,
    model: String,
    usage: Counted,
    /// Calls of tools by the block that holds them.
    calls: HashMap<u64, Call>,
    /// The thought under way, which is complete once it is signed.
    thought: String,
}

#[derive(Debug)]
struct Call {
    index: usize,
    has_arguments: bool,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    MessageStart {
        message: Start,
    },
    ContentBlockStart {
        index: u64,
        content_block: Block,
    },
    ContentBlockDelta {
        index: u64,
        delta: BlockDelta,
    },
    ContentBlockStop {
        index: u64,
    },
    MessageDelta {
        delta: MessageDelta,
        #[serde(default)]
        usage: Counted,
    },
    MessageStop,
    Error {
        error: ErrorDetail,
    },
    /// `ping`, and what comes next.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Start {
    id: String,
    #[serde(default)]
    model: String,
    #[serde(default)]
    usage: Counted,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum BlockDelta {
    TextDelta {
        text: String,
    },
    ThinkingDelta {
        thinking: String,
    },
    SignatureDelta {
        signature: String,
    },
    InputJsonDelta {
        partial_json: String,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct MessageDelta {
    stop_reason: Option<String>,
    stop_sequence: Option<String>,
}

impl Events {
    /// Take the data of the next event.
    pub fn take(&mut self, event: &[u8]) -> Result<Piece, Fault> {
        let event: Event =
            serde_json::from_slice(event).map_err(|_| Fault::Malformed("no event of a message"))?;
        Ok(match event {
            Event::MessageStart { message } => {
                self.id = message.id;
                self.model = message.model;
                self.usage.update(message.usage);
                self.piece(Delta::role())
            }
            Event::ContentBlockStart {
                index,
                content_block,
            } => self.begin(index, content_block),
            Event::ContentBlockDelta { index, delta } => self.go_on(index, delta),
            Event::ContentBlockStop { index } => self.finish(index),
            Event::MessageDelta { delta, usage } => self.end(delta, usage),
            Event::MessageStop => Piece::End,
            Event::Error { error } => return Err(reported(error)),
            Event::Other => Piece::Nothing,
        })
    }

    fn begin(&mut self, index: u64, block: Block) -> Piece {
        match block {
            Block::Text { text } if !text.is_empty() => self.piece(Delta::text(text)),
            Block::Thinking { thinking, .. } => {
                self.thought.clone_from(&thinking);
                self.with("reasoning_content", thinking.into())
            }
            block @ Block::RedactedThinking { .. } => self.with("thinking_blocks", json!([block])),
            Block::ToolUse { id, name, .. } => {
                let call = Call {
                    index: self.calls.len(),
                    has_arguments: false,
                };
                let told = json!([{
                    "index": call.index, "id": id, "type": "function",
                    "function": {"name": name, "arguments": ""},
                }]);
                self.calls.insert(index, call);
                self.with("tool_calls", told)
            }
            Block::Text { .. } | Block::Other => Piece::Nothing,
        }
    }

    fn go_on(&mut self, index: u64, delta: BlockDelta) -> Piece {
        match delta {
            BlockDelta::TextDelta { text } => self.piece(Delta::text(text)),
            BlockDelta::ThinkingDelta { thinking } => {
                self.thought.push_str(&thinking);
                self.with("reasoning_content", thinking.into())
            }
            BlockDelta::SignatureDelta { signature } => {
                let thinking = std::mem::take(&mut self.thought);
                let block = Block::Thinking {
                    thinking,
                    signature,
                };
                self.with("thinking_blocks", json!([block]))
            }
            BlockDelta::InputJsonDelta { partial_json } if !partial_json.is_empty() => {
                self.arguments(index, &partial_json)
            }
            BlockDelta::InputJsonDelta { .. } | BlockDelta::Other => Piece::Nothing,
        }
    }

    /// A tool without parameters gets no arguments at all, but clients parse them.
    fn finish(&mut self, index: u64) -> Piece {
        match self.calls.get(&index) {
            Some(call) if !call.has_arguments => self.arguments(index, "{}"),
            _ => Piece::Nothing,
        }
    }

    fn arguments(&mut self, index: u64, text: &str) -> Piece {
        // Tools of Anthropic's own are not the caller's.
        let Some(call) = self.calls.get_mut(&index) else {
            return Piece::Nothing;
        };
        call.has_arguments = true;
        let told = json!([{"index": call.index, "function": {"arguments": text}}]);
        self.with("tool_calls", told)
    }

    fn end(&mut self, delta: MessageDelta, usage: Counted) -> Piece {
        self.usage.update(usage);
        let Some(reason) = delta.stop_reason else {
            return Piece::Nothing;
        };
        let reason = Some(finish_reason(&reason).to_owned());
        let mut chunk = ChatChunk::piece(&self.id, &self.model, Delta::default(), reason);
        chunk.usage = Some(self.usage.usage());
        if let (Some(sequence), Some(choice)) = (delta.stop_sequence, chunk.choices.first_mut()) {
            choice.extra.insert("stop_reason".into(), sequence.into());
        }
        Piece::Chunk(Box::new(chunk))
    }

    fn with(&self, field: &str, value: Value) -> Piece {
        let extra: Map<String, Value> = [(field.to_owned(), value)].into_iter().collect();
        self.piece(Delta {
            extra,
            ..Delta::default()
        })
    }

    fn piece(&self, delta: Delta) -> Piece {
        Piece::Chunk(Box::new(ChatChunk::piece(
            &self.id,
            &self.model,
            delta,
            None,
        )))
    }
}

/// The status that an error would have had, had it come earlier.
/// <https://docs.anthropic.com/en/api/errors>
fn reported(detail: ErrorDetail) -> Fault {
    let status = match detail.kind.as_str() {
        "invalid_request_error" => StatusCode::BAD_REQUEST,
        "authentication_error" => StatusCode::UNAUTHORIZED,
        "billing_error" => StatusCode::PAYMENT_REQUIRED,
        "permission_error" => StatusCode::FORBIDDEN,
        "not_found_error" => StatusCode::NOT_FOUND,
        "request_too_large" => StatusCode::PAYLOAD_TOO_LARGE,
        "rate_limit_error" => StatusCode::TOO_MANY_REQUESTS,
        "timeout_error" => StatusCode::GATEWAY_TIMEOUT,
        "overloaded_error" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Fault::Reported { status, detail }
}
