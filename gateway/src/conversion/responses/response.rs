//! An answer as a response.

use serde_json::{Map, Value, json};

use crate::error::GatewayError;
use crate::types::{ChatCompletion, Usage, random_digits};

/// The first answer of a completion; the Responses API knows no second.
pub fn response(
    completion: &ChatCompletion,
    echo: &Map<String, Value>,
) -> Result<Value, GatewayError> {
    let malformed = |what| GatewayError::UpstreamMalformed {
        model: completion.model.clone(),
        what,
    };
    let choice = completion
        .choices
        .first()
        .ok_or_else(|| malformed("no choices"))?;
    let mut output = output(&choice.message, choice.extra.get("logprobs"))
        .ok_or_else(|| malformed("a tool call that makes no sense"))?;
    if let Some(last) = output.last_mut() {
        last["status"] = status(choice.finish_reason.as_deref()).into();
    }
    let mut response = skeleton(&response_id(), completion.created, &completion.model, echo);
    finish(
        &mut response,
        output,
        choice.finish_reason.as_deref(),
        completion.usage.as_ref(),
    );
    Ok(response)
}

/// A response that has just begun.
pub(super) fn skeleton(id: &str, created: u64, model: &str, echo: &Map<String, Value>) -> Value {
    let mut response = json!({
        "id": id, "object": "response", "created_at": created, "status": "in_progress", "background": false,
        "error": null, "incomplete_details": null, "model": model, "output": [], "store": false, "usage": null,
    });
    if let Value::Object(fields) = &mut response {
        fields.extend(echo.clone());
    }
    response
}

/// The end of a response: what was said, whether that is all, and what it cost.
pub(super) fn finish(
    response: &mut Value,
    output: Vec<Value>,
    finish_reason: Option<&str>,
    usage: Option<&Usage>,
) {
    let reason = incomplete_reason(finish_reason);
    response["output"] = output.into();
    response["status"] = status(finish_reason).into();
    response["incomplete_details"] = reason.map_or(Value::Null, |reason| json!({"reason": reason}));
    response["usage"] = usage.map_or(Value::Null, self::usage);
}

/// The status of a response, and of the last of its items: the others ended before it began.
pub(super) fn status(finish_reason: Option<&str>) -> &'static str {
    incomplete_reason(finish_reason).map_or("completed", |_| "incomplete")
}

fn incomplete_reason(finish_reason: Option<&str>) -> Option<&'static str> {
    match finish_reason {
        Some("length") => Some("max_output_tokens"),
        Some("content_filter") => Some("content_filter"),
        _ => None,
    }
}

fn output(message: &Map<String, Value>, logprobs: Option<&Value>) -> Option<Vec<Value>> {
    let text = |field: &str| {
        message
            .get(field)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    let mut parts = Vec::new();
    if let Some(said) = text("content") {
        parts.push(output_text(said, logprobs));
    }
    if let Some(refusal) = text("refusal") {
        parts.push(json!({"type": "refusal", "refusal": refusal}));
    }
    let mut items = Vec::new();
    if !parts.is_empty() {
        items.push(message_item(&item_id("msg"), "completed", &parts));
    }
    if let Some(Value::Array(calls)) = message.get("tool_calls") {
        for call in calls {
            let function = call.get("function")?;
            items.push(call_item(
                &item_id("fc"),
                "completed",
                call.get("id")?.as_str()?,
                function.get("name")?.as_str()?,
                function.get("arguments")?.as_str()?,
            ));
        }
    }
    Some(items)
}

pub(super) fn output_text(text: &str, logprobs: Option<&Value>) -> Value {
    let logprobs = logprobs.and_then(|logprobs| logprobs.get("content"));
    json!({
        "type": "output_text",
        "text": text,
        "annotations": [],
        "logprobs": logprobs.filter(|value| value.is_array()).cloned().unwrap_or_else(|| json!([])),
    })
}

pub(super) fn message_item(id: &str, status: &str, content: &[Value]) -> Value {
    json!({"type": "message", "id": id, "status": status, "role": "assistant", "content": content})
}

pub(super) fn call_item(
    id: &str,
    status: &str,
    call_id: &str,
    name: &str,
    arguments: &str,
) -> Value {
    json!({
        "type": "function_call", "id": id, "status": status,
        "call_id": call_id, "name": name, "arguments": arguments,
    })
}

fn usage(usage: &Usage) -> Value {
    let detail = |group: &str, field: &str| {
        usage
            .extra
            .get(group)
            .and_then(|details| details.get(field)?.as_u64())
            .unwrap_or(0)
    };
    json!({
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": detail("prompt_tokens_details", "cached_tokens")},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": detail("completion_tokens_details", "reasoning_tokens")},
        "total_tokens": usage.total_tokens,
    })
}

/// A fresh id of a response.
pub(super) fn response_id() -> String {
    item_id("resp")
}

/// A fresh id of an item.
pub(super) fn item_id(prefix: &str) -> String {
    format!("{prefix}_{}", random_digits())
}
