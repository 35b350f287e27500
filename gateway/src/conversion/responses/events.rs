//! A streamed answer as the events of the Responses API, numbered and in their documented order.

use serde_json::{Map, Value, json};

use super::response::{
    call_item, finish, item_id, message_item, output_text, response_id, skeleton, status,
};
use crate::conversion::{NamedEvent, Narrator};
use crate::error::{ErrorBody, GatewayError};
use crate::types::{ChatChunk, ChunkChoice, Usage, unix_seconds};

/// Tells one answer, piece by piece.
#[derive(Debug)]
pub struct ResponseEvents {
    id: String,
    created: u64,
    model: String,
    echo: Map<String, Value>,
    has_begun: bool,
    /// Number of the next event.
    sequence: u64,
    open: Option<Open>,
    /// Items that are complete.
    output: Vec<Value>,
    /// Calls begun so far, by their number in the chat.
    calls: Vec<u64>,
    finish_reason: Option<String>,
    usage: Option<Usage>,
}

/// The item that is being told.
#[derive(Debug)]
enum Open {
    /// A message with its parts so far; the last one is open.
    Message {
        id: String,
        done: Vec<Value>,
        part: Part,
        said: String,
    },
    Call {
        id: String,
        number: u64,
        call_id: String,
        name: String,
        arguments: String,
    },
}

/// A part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Text,
    Refusal,
}

impl Part {
    fn value(self, said: &str) -> Value {
        match self {
            Self::Text => output_text(said, None),
            Self::Refusal => json!({"type": "refusal", "refusal": said}),
        }
    }

    fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Text => (
                "response.output_text.delta",
                "response.output_text.done",
                "text",
            ),
            Self::Refusal => ("response.refusal.delta", "response.refusal.done", "refusal"),
        }
    }
}

impl ResponseEvents {
    /// Nothing is told yet; responses repeat `echo`.
    pub fn new(echo: Map<String, Value>) -> Self {
        Self {
            id: response_id(),
            created: unix_seconds(),
            model: String::new(),
            echo,
            has_begun: false,
            sequence: 0,
            open: None,
            output: Vec::new(),
            calls: Vec::new(),
            finish_reason: None,
            usage: None,
        }
    }

    fn event(&mut self, name: &'static str, mut data: Value, events: &mut Vec<NamedEvent>) {
        data["sequence_number"] = self.sequence.into();
        self.sequence += 1;
        events.push(NamedEvent::new(name, data));
    }

    fn begin(&mut self, events: &mut Vec<NamedEvent>) {
        self.has_begun = true;
        let response = self.response();
        for name in ["response.created", "response.in_progress"] {
            self.event(name, json!({"response": response}), events);
        }
    }

    fn response(&self) -> Value {
        skeleton(&self.id, self.created, &self.model, &self.echo)
    }

    fn open(&mut self, item: &Value, events: &mut Vec<NamedEvent>) {
        let index = self.output.len();
        self.event(
            "response.output_item.added",
            json!({"output_index": index, "item": item}),
            events,
        );
    }

    fn say(&mut self, part: Part, text: &str, events: &mut Vec<NamedEvent>) {
        let id = match self.open.take() {
            Some(Open::Message {
                id,
                done,
                part: open,
                said,
            }) if open == part => {
                self.delta(part, &id, done.len(), text, events);
                self.open = Some(Open::Message {
                    id,
                    done,
                    part,
                    said: said + text,
                });
                return;
            }
            Some(Open::Message {
                id,
                mut done,
                part: open,
                said,
            }) => {
                self.end_part(open, &id, done.len(), &said, events);
                done.push(open.value(&said));
                self.begin_part(part, &id, done.len(), events);
                self.delta(part, &id, done.len(), text, events);
                self.open = Some(Open::Message {
                    id,
                    done,
                    part,
                    said: text.to_owned(),
                });
                return;
            }
            other => {
                self.open = other;
                self.close("completed", events);
                item_id("msg")
            }
        };
        self.open(&message_item(&id, "in_progress", &[]), events);
        self.begin_part(part, &id, 0, events);
        self.delta(part, &id, 0, text, events);
        self.open = Some(Open::Message {
            id,
            done: Vec::new(),
            part,
            said: text.to_owned(),
        });
    }

    fn begin_part(&mut self, part: Part, id: &str, index: usize, events: &mut Vec<NamedEvent>) {
        let data = json!({
            "item_id": id, "output_index": self.output.len(), "content_index": index, "part": part.value(""),
        });
        self.event("response.content_part.added", data, events);
    }

    fn delta(
        &mut self,
        part: Part,
        id: &str,
        index: usize,
        text: &str,
        events: &mut Vec<NamedEvent>,
    ) {
        let mut data = json!({
            "item_id": id, "output_index": self.output.len(), "content_index": index, "delta": text,
        });
        if part == Part::Text {
            data["logprobs"] = json!([]);
        }
        self.event(part.names().0, data, events);
    }

    fn end_part(
        &mut self,
        part: Part,
        id: &str,
        index: usize,
        said: &str,
        events: &mut Vec<NamedEvent>,
    ) {
        let (_, done, field) = part.names();
        let place =
            json!({"item_id": id, "output_index": self.output.len(), "content_index": index});
        let mut data = place.clone();
        data[field] = said.into();
        if part == Part::Text {
            data["logprobs"] = json!([]);
        }
        self.event(done, data, events);
        let mut data = place;
        data["part"] = part.value(said);
        self.event("response.content_part.done", data, events);
    }

    fn close(&mut self, status: &str, events: &mut Vec<NamedEvent>) {
        let item = match self.open.take() {
            None => return,
            Some(Open::Message {
                id,
                mut done,
                part,
                said,
            }) => {
                self.end_part(part, &id, done.len(), &said, events);
                done.push(part.value(&said));
                message_item(&id, status, &done)
            }
            Some(Open::Call {
                id,
                call_id,
                name,
                arguments,
                ..
            }) => {
                let index = self.output.len();
                self.event(
                    "response.function_call_arguments.done",
                    json!({"item_id": id, "output_index": index, "name": name, "arguments": arguments}),
                    events,
                );
                call_item(&id, status, &call_id, &name, &arguments)
            }
        };
        let index = self.output.len();
        self.event(
            "response.output_item.done",
            json!({"output_index": index, "item": item}),
            events,
        );
        self.output.push(item);
    }

    /// `None` where the call makes no sense.
    fn call(&mut self, call: &Value, events: &mut Vec<NamedEvent>) -> Option<()> {
        let number = call.get("index").and_then(Value::as_u64).unwrap_or(0);
        let function = call.get("function").unwrap_or(&Value::Null);
        if !matches!(&self.open, Some(Open::Call { number: open, .. }) if *open == number) {
            // Items follow each other; a call that goes on after another one has no place.
            if self.calls.contains(&number) {
                return None;
            }
            self.close("completed", events);
            self.calls.push(number);
            let id = item_id("fc");
            let call_id = call.get("id")?.as_str()?.to_owned();
            let name = function.get("name")?.as_str()?.to_owned();
            self.open(&call_item(&id, "in_progress", &call_id, &name, ""), events);
            let arguments = String::new();
            self.open = Some(Open::Call {
                id,
                number,
                call_id,
                name,
                arguments,
            });
        }
        let piece = function.get("arguments").and_then(Value::as_str);
        if let (Some(piece), Some(Open::Call { id, arguments, .. })) =
            (piece.filter(|text| !text.is_empty()), &mut self.open)
        {
            arguments.push_str(piece);
            let data = json!({"item_id": id, "output_index": self.output.len(), "delta": piece});
            self.event("response.function_call_arguments.delta", data, events);
        }
        Some(())
    }

    fn choice(&mut self, choice: &ChunkChoice, events: &mut Vec<NamedEvent>) -> Option<()> {
        let refusal = choice.delta.extra.get("refusal").and_then(Value::as_str);
        let said = [
            (Part::Text, choice.delta.content.as_deref()),
            (Part::Refusal, refusal),
        ];
        for (part, text) in said {
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                self.say(part, text, events);
            }
        }
        if let Some(Value::Array(calls)) = choice.delta.extra.get("tool_calls") {
            for call in calls {
                self.call(call, events)?;
            }
        }
        if choice.finish_reason.is_some() {
            self.finish_reason.clone_from(&choice.finish_reason);
        }
        Some(())
    }
}

impl Narrator for ResponseEvents {
    fn piece(&mut self, chunk: &ChatChunk) -> Result<Vec<NamedEvent>, GatewayError> {
        let mut events = Vec::new();
        if !self.has_begun {
            self.model.clone_from(&chunk.model);
            self.begin(&mut events);
        }
        for choice in chunk.choices.iter().filter(|choice| choice.index == 0) {
            self.choice(choice, &mut events)
                .ok_or_else(|| GatewayError::UpstreamMalformed {
                    model: chunk.model.clone(),
                    what: "a tool call that makes no sense",
                })?;
        }
        if chunk.usage.is_some() {
            self.usage.clone_from(&chunk.usage);
        }
        Ok(events)
    }

    fn end(&mut self) -> Vec<NamedEvent> {
        let mut events = Vec::new();
        self.close(status(self.finish_reason.as_deref()), &mut events);
        let mut response = self.response();
        finish(
            &mut response,
            std::mem::take(&mut self.output),
            self.finish_reason.as_deref(),
            self.usage.as_ref(),
        );
        let name = if response["status"] == "completed" {
            "response.completed"
        } else {
            "response.incomplete"
        };
        self.event(name, json!({"response": response}), &mut events);
        events
    }

    fn error(&mut self, error: &GatewayError) -> Vec<NamedEvent> {
        let mut events = Vec::new();
        let ErrorBody { error } = ErrorBody::from(error);
        self.event(
            "error",
            json!({"code": error.code, "message": error.message, "param": error.param}),
            &mut events,
        );
        let mut response = self.response();
        response["status"] = "failed".into();
        response["output"] = std::mem::take(&mut self.output).into();
        response["error"] = json!({"code": "server_error", "message": error.message});
        self.event(
            "response.failed",
            json!({"response": response}),
            &mut events,
        );
        events
    }
}
