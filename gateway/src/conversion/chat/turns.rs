//! The messages of a request, one by one.

use serde_json::{Map, Value};

use super::content::{Part, parts};
use crate::conversion::Target;
use crate::error::GatewayError;
use crate::types::ChatRequest;

/// One message and its place, e.g. `messages[0]`.
#[derive(Debug)]
pub(in crate::conversion) struct Turn<'a> {
    pub(in crate::conversion) at: String,
    pub(in crate::conversion) speaker: Speaker<'a>,
    pub(in crate::conversion) parts: Vec<Part<'a>>,
    pub(in crate::conversion) object: &'a Map<String, Value>,
}

#[derive(Debug)]
pub(in crate::conversion) enum Speaker<'a> {
    /// `system` or `developer`.
    System,
    User,
    Assistant(Vec<ToolCall<'a>>),
    /// The result of a call.
    Tool {
        call: &'a str,
    },
}

/// A call that an assistant made.
#[derive(Debug)]
pub(in crate::conversion) struct ToolCall<'a> {
    pub(in crate::conversion) id: &'a str,
    pub(in crate::conversion) name: &'a str,
    pub(in crate::conversion) arguments: Map<String, Value>,
    pub(in crate::conversion) object: &'a Map<String, Value>,
}

/// All messages in order.
pub(in crate::conversion) fn turns<'a>(
    request: &'a ChatRequest,
    target: &Target<'_>,
) -> Result<Vec<Turn<'a>>, GatewayError> {
    let messages = request
        .body
        .fields()
        .get("messages")
        .and_then(Value::as_array);
    messages
        .into_iter()
        .flatten()
        .enumerate()
        .map(|(index, message)| turn(format!("messages[{index}]"), message, target))
        .collect()
}

fn turn<'a>(at: String, message: &'a Value, target: &Target<'_>) -> Result<Turn<'a>, GatewayError> {
    let Some(object) = message.as_object() else {
        return Err(GatewayError::invalid(
            &at,
            format!("`{at}` must be an object"),
        ));
    };
    let speaker = match object.get("role").and_then(Value::as_str) {
        Some("system" | "developer") => Speaker::System,
        Some("user") => Speaker::User,
        Some("assistant") => Speaker::Assistant(calls(&at, object, target)?),
        Some("tool") => Speaker::Tool {
            call: string(object, &format!("{at}.tool_call_id"), "tool_call_id")?,
        },
        _ => {
            let remedy = "use the roles system, developer, user, assistant and tool";
            return Err(target.unsupported(format!("{at}.role"), remedy));
        }
    };
    let is_named = object.get("name").is_some_and(|name| !name.is_null());
    // The name of a tool stands in the call, too.
    if is_named && !matches!(speaker, Speaker::Tool { .. }) {
        let remedy = "say in the text who speaks";
        return Err(target.unsupported(format!("{at}.name"), remedy));
    }
    Ok(Turn {
        parts: parts(&format!("{at}.content"), object.get("content"))?,
        at,
        speaker,
        object,
    })
}

fn calls<'a>(
    at: &str,
    object: &'a Map<String, Value>,
    target: &Target<'_>,
) -> Result<Vec<ToolCall<'a>>, GatewayError> {
    let old = object.get("function_call");
    if old.is_some_and(|call| !call.is_null()) {
        return Err(target.unsupported(format!("{at}.function_call"), "use tool_calls"));
    }
    let calls = object.get("tool_calls").and_then(Value::as_array);
    calls
        .into_iter()
        .flatten()
        .enumerate()
        .map(|(index, item)| call(&format!("{at}.tool_calls[{index}]"), item, target))
        .collect()
}

fn call<'a>(at: &str, item: &'a Value, target: &Target<'_>) -> Result<ToolCall<'a>, GatewayError> {
    let (Some(object), Some(function)) = (
        item.as_object(),
        item.get("function").and_then(Value::as_object),
    ) else {
        let remedy = "only calls of functions can be passed on";
        return Err(target.unsupported(at, remedy));
    };
    let place = format!("{at}.function.arguments");
    let text = function.get("arguments").and_then(Value::as_str);
    Ok(ToolCall {
        id: string(object, &format!("{at}.id"), "id")?,
        name: string(function, &format!("{at}.function.name"), "name")?,
        arguments: arguments(&place, text.unwrap_or_default())?,
        object,
    })
}

/// A function without parameters is called with nothing at all by some clients.
fn arguments(at: &str, text: &str) -> Result<Map<String, Value>, GatewayError> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_str(text).map_err(|error| {
        GatewayError::invalid(at, format!("`{at}` must hold a JSON object: {error}"))
    })
}

fn string<'a>(
    object: &'a Map<String, Value>,
    at: &str,
    field: &str,
) -> Result<&'a str, GatewayError> {
    let text = object.get(field).and_then(Value::as_str);
    text.filter(|text| !text.is_empty())
        .ok_or_else(|| GatewayError::invalid(at, format!("`{at}` must be a string")))
}
