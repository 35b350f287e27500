//! What was said so far: text, calls of tools and their results.

use serde_json::{Map, Value};

use super::{first_unknown, unsupported};
use crate::error::GatewayError;
use crate::models::{EngineMessage, ToolCall};
use crate::types::{ChatRequest, Content, Message, fields};

pub(super) fn messages(
    request: &ChatRequest,
    model: &str,
) -> Result<Vec<EngineMessage>, GatewayError> {
    let sent = request
        .body
        .fields()
        .get("messages")
        .and_then(Value::as_array);
    let nothing = Map::new();
    request
        .messages
        .iter()
        .enumerate()
        .map(|(index, message)| {
            let sent = sent.and_then(|sent| sent.get(index)?.as_object());
            translate(
                &format!("messages[{index}]"),
                message,
                sent.unwrap_or(&nothing),
                model,
            )
        })
        .collect()
}

fn translate(
    at: &str,
    message: &Message,
    sent: &Map<String, Value>,
    model: &str,
) -> Result<EngineMessage, GatewayError> {
    let known: &[&str] = match message.role {
        "system" | "developer" | "user" => &["role", "content"],
        "assistant" => &["role", "content", "tool_calls"],
        "tool" => &["role", "content", "tool_call_id", "name"],
        other => return Err(unsupported(model, format!("{at}.role {other}"))),
    };
    let content = content(message, sent)
        .map_err(|kind| unsupported(model, format!("{at}.content of type {kind}")))?;
    if let Some(member) = first_unknown(sent, known) {
        return Err(unsupported(model, format!("{at}.{member}")));
    }
    let mut translated = EngineMessage::new(message.role, &content);
    match message.role {
        "assistant" => translated.tool_calls = calls(at, sent, model)?,
        "tool" => {
            let id = text(at, sent, "tool_call_id")?;
            translated.tool_call_id = Some(id.to_owned());
            translated.name = optional_text(at, sent, "name")?.map(str::to_owned);
        }
        _ => {}
    }
    Ok(translated)
}

/// The text; the error is the kind of what is none.
fn content(message: &Message, sent: &Map<String, Value>) -> Result<String, String> {
    match &message.content {
        Content::Text(text) => Ok(text.clone()),
        Content::Absent => Ok(String::new()),
        Content::Other(kind) if kind == "tool_calls" => beside_calls(sent.get("content")),
        Content::Other(kind) => Err(kind.clone()),
    }
}

/// The text that an assistant said before it called tools.
fn beside_calls(content: Option<&Value>) -> Result<String, String> {
    match content {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Array(parts)) => parts
            .iter()
            .map(|part| match part.get("text").and_then(Value::as_str) {
                Some(text) => Ok(text),
                None => Err(part
                    .get("type")
                    .map_or("unknown", |kind| kind.as_str().unwrap_or("unknown"))
                    .to_owned()),
            })
            .collect(),
        Some(_) => Err("unknown".to_owned()),
    }
}

fn calls(at: &str, sent: &Map<String, Value>, model: &str) -> Result<Vec<ToolCall>, GatewayError> {
    let items = match fields::present(sent, "tool_calls") {
        None => return Ok(Vec::new()),
        Some(Value::Array(items)) => items,
        Some(_) => {
            let place = format!("{at}.tool_calls");
            return Err(GatewayError::invalid(
                &place,
                format!("`{place}` must be a list"),
            ));
        }
    };
    let numbered = items.iter().enumerate();
    numbered
        .map(|(index, item)| call(&format!("{at}.tool_calls[{index}]"), item, model))
        .collect()
}

fn call(at: &str, item: &Value, model: &str) -> Result<ToolCall, GatewayError> {
    let wrong = |place: String, what: &str| {
        let message = format!("`{place}` must be {what}");
        GatewayError::invalid(&place, message)
    };
    let object = |place: String, value: Option<&'_ Value>| {
        let object = value.and_then(Value::as_object).cloned();
        object.ok_or_else(|| wrong(place, "an object"))
    };
    let call = object(at.to_owned(), Some(item))?;
    if call.get("type").is_some_and(|kind| kind != "function") {
        return Err(unsupported(model, format!("{at}.type")));
    }
    let function_at = format!("{at}.function");
    let function = object(function_at.clone(), call.get("function"))?;
    let arguments = text(&function_at, &function, "arguments")?;
    // An empty text is what some models say for no arguments.
    let arguments = if arguments.trim().is_empty() {
        "{}"
    } else {
        arguments
    };
    let arguments = serde_json::from_str(arguments).map_err(|_| {
        wrong(
            format!("{function_at}.arguments"),
            "a JSON object in a string",
        )
    })?;
    Ok(ToolCall {
        id: text(at, &call, "id")?.to_owned(),
        name: text(&function_at, &function, "name")?.to_owned(),
        arguments,
    })
}

fn text<'a>(
    at: &str,
    object: &'a Map<String, Value>,
    member: &str,
) -> Result<&'a str, GatewayError> {
    optional_text(at, object, member)?.ok_or_else(|| {
        let place = format!("{at}.{member}");
        let message = format!("`{place}` is missing, and must be a string");
        GatewayError::invalid(&place, message)
    })
}

fn optional_text<'a>(
    at: &str,
    object: &'a Map<String, Value>,
    member: &str,
) -> Result<Option<&'a str>, GatewayError> {
    match fields::present(object, member) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => {
            let place = format!("{at}.{member}");
            let found = fields::quoted(other);
            let message = format!("`{place}` is {found}, but must be a string");
            Err(GatewayError::invalid(&place, message))
        }
    }
}
