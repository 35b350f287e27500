//! A streamed answer as the events of the Messages API, in their documented order.

use serde_json::{Map, Value, json};

use super::response::{stop, thinking_of, usage};
use crate::conversion::{NamedEvent, Narrator};
use crate::error::{AnthropicErrorBody, GatewayError};
use crate::types::{ChatChunk, ChunkChoice, ContentBlock, MessageUsage, Usage, message_id};

/// Tells one answer, piece by piece.
#[derive(Debug)]
pub struct MessageEvents {
    stop_sequences: Vec<String>,
    /// What is told of the prompt's length before the model has.
    estimate: Usage,
    has_begun: bool,
    open: Option<Open>,
    /// Blocks begun so far.
    blocks: usize,
    /// Calls of tools begun so far, by their number in the chat.
    calls: Vec<u64>,
    finish_reason: Option<String>,
    extra: Map<String, Value>,
    is_refusal: bool,
    usage: MessageUsage,
}

/// The block that is being told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Text,
    Thinking,
    Call(u64),
}

impl MessageEvents {
    /// Nothing is told yet. The estimate of the prompt is told first, and the model's own count last.
    pub fn new(stop_sequences: Vec<String>, estimate: Usage) -> Self {
        Self {
            stop_sequences,
            usage: usage(&estimate),
            estimate,
            has_begun: false,
            open: None,
            blocks: 0,
            calls: Vec::new(),
            finish_reason: None,
            extra: Map::new(),
            is_refusal: false,
        }
    }

    fn begin(&mut self, model: &str) -> NamedEvent {
        self.has_begun = true;
        let usage = MessageUsage {
            output_tokens: 0,
            ..usage(&self.estimate)
        };
        NamedEvent::new(
            "message_start",
            json!({"message": {
                "id": message_id(), "type": "message", "role": "assistant", "model": model,
                "content": [], "stop_reason": null, "stop_sequence": null, "usage": usage,
            }}),
        )
    }

    fn open(&mut self, block: Open, content: &ContentBlock, events: &mut Vec<NamedEvent>) {
        self.close(events);
        let index = self.blocks;
        events.push(NamedEvent::new(
            "content_block_start",
            json!({"index": index, "content_block": content}),
        ));
        if index == 0 {
            events.push(NamedEvent::new("ping", json!({})));
        }
        self.blocks += 1;
        self.open = Some(block);
    }

    fn close(&mut self, events: &mut Vec<NamedEvent>) {
        if self.open.take().is_some() {
            let index = self.blocks - 1;
            events.push(NamedEvent::new(
                "content_block_stop",
                json!({"index": index}),
            ));
        }
    }

    fn say(&mut self, delta: &Value, events: &mut Vec<NamedEvent>) {
        let index = self.blocks - 1;
        events.push(NamedEvent::new(
            "content_block_delta",
            json!({"index": index, "delta": delta}),
        ));
    }

    fn text(&mut self, text: &str, events: &mut Vec<NamedEvent>) {
        if self.open != Some(Open::Text) {
            let text = String::new();
            self.open(Open::Text, &ContentBlock::Text { text }, events);
        }
        self.say(&json!({"type": "text_delta", "text": text}), events);
    }

    fn thinking(&mut self, thinking: &str, events: &mut Vec<NamedEvent>) {
        if self.open != Some(Open::Thinking) {
            let block = ContentBlock::Thinking {
                thinking: String::new(),
                signature: String::new(),
            };
            self.open(Open::Thinking, &block, events);
        }
        self.say(
            &json!({"type": "thinking_delta", "thinking": thinking}),
            events,
        );
    }

    /// `None` where the call makes no sense.
    fn call(&mut self, call: &Value, events: &mut Vec<NamedEvent>) -> Option<()> {
        let number = call.get("index").and_then(Value::as_u64).unwrap_or(0);
        let function = call.get("function").unwrap_or(&Value::Null);
        if self.open != Some(Open::Call(number)) {
            // Blocks follow each other; a call that goes on after another one has no place.
            if self.calls.contains(&number) {
                return None;
            }
            self.calls.push(number);
            let block = ContentBlock::ToolUse {
                id: call.get("id")?.as_str()?.to_owned(),
                name: function.get("name")?.as_str()?.to_owned(),
                input: Map::new(),
            };
            self.open(Open::Call(number), &block, events);
        }
        let arguments = function.get("arguments").and_then(Value::as_str);
        if let Some(arguments) = arguments.filter(|text| !text.is_empty()) {
            self.say(
                &json!({"type": "input_json_delta", "partial_json": arguments}),
                events,
            );
        }
        Some(())
    }

    fn choice(&mut self, choice: &ChunkChoice, events: &mut Vec<NamedEvent>) -> Option<()> {
        if let Some(thinking) = thinking_of(&choice.delta.extra) {
            self.thinking(thinking, events);
        }
        let refusal = choice.delta.extra.get("refusal").and_then(Value::as_str);
        self.is_refusal |= refusal.is_some_and(|text| !text.is_empty());
        for text in [choice.delta.content.as_deref(), refusal]
            .into_iter()
            .flatten()
            .filter(|text| !text.is_empty())
        {
            self.text(text, events);
        }
        if let Some(Value::Array(calls)) = choice.delta.extra.get("tool_calls") {
            for call in calls {
                self.call(call, events)?;
            }
        }
        if choice.finish_reason.is_some() {
            self.finish_reason.clone_from(&choice.finish_reason);
            self.extra.clone_from(&choice.extra);
        }
        Some(())
    }
}

impl Narrator for MessageEvents {
    fn piece(&mut self, chunk: &ChatChunk) -> Result<Vec<NamedEvent>, GatewayError> {
        let mut events = Vec::new();
        if !self.has_begun {
            events.push(self.begin(&chunk.model));
        }
        for choice in chunk.choices.iter().filter(|choice| choice.index == 0) {
            self.choice(choice, &mut events)
                .ok_or_else(|| GatewayError::UpstreamMalformed {
                    model: chunk.model.clone(),
                    what: "a tool call that makes no sense",
                })?;
        }
        if let Some(counted) = &chunk.usage {
            self.usage = usage(counted);
        }
        Ok(events)
    }

    fn end(&mut self) -> Vec<NamedEvent> {
        let mut events = Vec::new();
        self.close(&mut events);
        let (stop_reason, stop_sequence) = stop(
            self.finish_reason.as_deref(),
            &self.extra,
            &self.stop_sequences,
            self.is_refusal,
        );
        events.push(NamedEvent::new(
            "message_delta",
            json!({
                "delta": {"stop_reason": stop_reason, "stop_sequence": stop_sequence},
                "usage": self.usage,
            }),
        ));
        events.push(NamedEvent::new("message_stop", json!({})));
        events
    }

    fn error(&mut self, error: &GatewayError) -> Vec<NamedEvent> {
        let body = AnthropicErrorBody::from(error);
        vec![NamedEvent::new("error", json!({"error": body.error}))]
    }
}
