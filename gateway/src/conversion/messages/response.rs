//! An answer as a message.

use serde_json::{Map, Value};

use crate::error::GatewayError;
use crate::types::{
    ChatCompletion, Choice, ContentBlock, MessageAnswer, MessageUsage, Usage, message_id,
};

/// The first answer of a completion; the Messages API knows no second.
pub fn message(
    completion: &ChatCompletion,
    stop_sequences: &[String],
) -> Result<MessageAnswer, GatewayError> {
    let malformed = |what| GatewayError::UpstreamMalformed {
        model: completion.model.clone(),
        what,
    };
    let choice = completion
        .choices
        .first()
        .ok_or_else(|| malformed("no choices"))?;
    let said = Spoken::read(choice).ok_or_else(|| malformed("a tool call that makes no sense"))?;
    let (stop_reason, stop_sequence) = stop(
        choice.finish_reason.as_deref(),
        &choice.extra,
        stop_sequences,
        said.is_refusal,
    );
    Ok(MessageAnswer {
        id: message_id(),
        kind: "message",
        role: "assistant",
        model: completion.model.clone(),
        content: said.blocks,
        stop_reason: Some(stop_reason),
        stop_sequence,
        usage: completion.usage.as_ref().map(usage).unwrap_or_default(),
    })
}

struct Spoken {
    blocks: Vec<ContentBlock>,
    is_refusal: bool,
}

impl Spoken {
    fn read(choice: &Choice) -> Option<Self> {
        let text = |field: &str| {
            choice
                .message
                .get(field)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
        };
        let mut blocks = Vec::new();
        if let Some(thinking) = thinking_of(&choice.message) {
            blocks.push(ContentBlock::Thinking {
                thinking: thinking.to_owned(),
                signature: String::new(),
            });
        }
        let refusal = text("refusal");
        for said in [text("content"), refusal].into_iter().flatten() {
            blocks.push(ContentBlock::Text {
                text: said.to_owned(),
            });
        }
        if let Some(Value::Array(calls)) = choice.message.get("tool_calls") {
            for call in calls {
                blocks.push(tool_use(call)?);
            }
        }
        Some(Self {
            blocks,
            is_refusal: refusal.is_some(),
        })
    }
}

fn tool_use(call: &Value) -> Option<ContentBlock> {
    let function = call.get("function")?;
    let arguments = function.get("arguments")?.as_str()?;
    let input: Map<String, Value> = if arguments.is_empty() {
        Map::new()
    } else {
        serde_json::from_str(arguments).ok()?
    };
    Some(ContentBlock::ToolUse {
        id: call.get("id")?.as_str()?.to_owned(),
        name: function.get("name")?.as_str()?.to_owned(),
        input,
    })
}

/// What a model thought aloud: no field of OpenAI's, but one that many APIs send.
pub(super) fn thinking_of(fields: &Map<String, Value>) -> Option<&str> {
    ["reasoning_content", "reasoning"]
        .into_iter()
        .find_map(|field| fields.get(field)?.as_str())
        .filter(|text| !text.is_empty())
}

/// Why an answer ended, in Anthropic's words, and the text that ended it where the model says which.
pub(super) fn stop(
    finish_reason: Option<&str>,
    extra: &Map<String, Value>,
    stop_sequences: &[String],
    is_refusal: bool,
) -> (&'static str, Option<String>) {
    let matched = extra
        .get("stop_reason")
        .and_then(Value::as_str)
        .filter(|text| stop_sequences.iter().any(|stop| stop == text));
    let reason = match finish_reason {
        _ if is_refusal => "refusal",
        Some("length") => "max_tokens",
        Some("tool_calls" | "function_call") => "tool_use",
        Some("content_filter") => "refusal",
        _ if matched.is_some() => "stop_sequence",
        _ => "end_turn",
    };
    let sequence = matched.filter(|_| reason == "stop_sequence");
    (reason, sequence.map(str::to_owned))
}

/// Anthropic counts what came from a cache apart.
pub(super) fn usage(usage: &Usage) -> MessageUsage {
    let cached = usage.cached_tokens().min(usage.prompt_tokens);
    MessageUsage {
        input_tokens: usage.prompt_tokens - cached,
        cache_creation_input_tokens: 0,
        cache_read_input_tokens: cached,
        output_tokens: usage.completion_tokens,
    }
}
