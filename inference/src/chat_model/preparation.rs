//! What a request becomes before it is put into the queue: tokens, a grammar, and a sink that tells calls from text.

use serde_json::{Map, Value};

use super::{ChatModel, SubmitError};
use crate::{
    chat_request::{ChatRequest, Message},
    chat_template::ChatTemplateError,
    event::EventSink,
    grammar::{Grammar, GrammarError},
    tokenizer::Tokenizer,
    tools::{
        CallParser, Tool, ToolCall, ToolChoice, ToolFormat, in_plain_words, rules, with_calls,
    },
};

/// What ends a call of models that tag theirs: a model that may call but once is done there.
const END_OF_CALL: &str = "</tool_call>";

impl ChatModel {
    pub(super) fn prompt(
        &self,
        messages: &[Message],
        tools: &[Tool],
    ) -> Result<Vec<u32>, SubmitError> {
        let tokenizer = &self.shared.tokenizer;
        let template = &self.shared.template;
        let rendered = if template.knows_tools() {
            let messages: Vec<_> = messages.iter().map(|one| guarded(tokenizer, one)).collect();
            let tools: Vec<_> = tools
                .iter()
                .map(|tool| guarded_json(tokenizer, &tool.to_json()))
                .collect();
            template.render(&messages, &tools)
        } else {
            let messages: Vec<_> = in_plain_words(messages, tools)
                .iter()
                .map(|one| guarded(tokenizer, one))
                .collect();
            template.render(&messages, &[])
        };
        let prompt = rendered.map_err(|error| match error {
            ChatTemplateError::Refused { reason } => SubmitError::InvalidRequest {
                field: "messages",
                problem: format!("cannot be put to this model: {reason}"),
            },
            other => SubmitError::Template(other),
        })?;
        Ok(tokenizer.encode(&prompt)?)
    }

    /// What holds the answer to its form.
    pub(super) fn grammar(&self, request: &ChatRequest) -> Result<Option<Grammar>, SubmitError> {
        let is_about_tools = match request.tool_choice {
            ToolChoice::Required | ToolChoice::Named(_) => true,
            ToolChoice::Auto | ToolChoice::None => request.format.is_none(),
        };
        let refused = |GrammarError(problem)| SubmitError::UnsupportedForm {
            field: if is_about_tools {
                "tools"
            } else {
                "response_format"
            },
            problem,
        };
        let source = rules(
            self.shared.template.tool_format(),
            request.offered_tools(),
            &request.tool_choice,
            request.single_tool_call,
            request.format.as_ref(),
        );
        let source = source.map_err(refused)?;
        source
            .map(|source| self.shared.grammars.compile(&source).map_err(refused))
            .transpose()
    }

    pub(super) fn stop_strings(&self, request: &ChatRequest) -> Vec<String> {
        let mut stop = request.stop.clone();
        let has_tags = self.shared.template.tool_format() == ToolFormat::Hermes;
        let is_free = request.tool_choice == ToolChoice::Auto && !request.tools.is_empty();
        if request.single_tool_call && has_tags && is_free {
            stop.push(END_OF_CALL.to_owned());
        }
        stop
    }

    pub(super) fn sink(&self, request: &ChatRequest, sink: EventSink) -> EventSink {
        let tools = request.offered_tools();
        if tools.is_empty() {
            return sink;
        }
        let names = tools.iter().map(|tool| tool.name.clone()).collect();
        let format = self.shared.template.tool_format();
        with_calls(
            CallParser::new(format, names, request.single_tool_call),
            sink,
        )
    }
}

/// A message in which what looks like markup is marked as text.
fn guarded(tokenizer: &Tokenizer, message: &Message) -> Message {
    let guard = |text: &String| tokenizer.guard(text);
    let call = |call: &ToolCall| ToolCall {
        id: guard(&call.id),
        name: guard(&call.name),
        arguments: guarded_fields(tokenizer, &call.arguments),
    };
    Message {
        role: message.model_role().to_owned(),
        content: guard(&message.content),
        tool_calls: message.tool_calls.iter().map(call).collect(),
        tool_call_id: message.tool_call_id.as_ref().map(guard),
        name: message.name.as_ref().map(guard),
    }
}

fn guarded_json(tokenizer: &Tokenizer, value: &Value) -> Value {
    match value {
        Value::String(text) => tokenizer.guard(text).into(),
        Value::Array(items) => {
            let items = items.iter().map(|item| guarded_json(tokenizer, item));
            items.collect::<Vec<_>>().into()
        }
        Value::Object(fields) => guarded_fields(tokenizer, fields).into(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn guarded_fields(tokenizer: &Tokenizer, fields: &Map<String, Value>) -> Map<String, Value> {
    let guarded =
        |(name, value): (&String, &Value)| (tokenizer.guard(name), guarded_json(tokenizer, value));
    fields.iter().map(guarded).collect()
}
