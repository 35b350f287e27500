//! The tools of a request, and which of them is to be used.

use serde_json::{Map, Value};

use crate::conversion::Target;
use crate::error::GatewayError;

/// A tool and its place, e.g. `tools[0]`.
#[derive(Debug)]
pub(in crate::conversion) enum Tool<'a> {
    Function {
        name: &'a str,
        description: Option<&'a str>,
        /// A JSON schema.
        parameters: Option<&'a Value>,
        is_strict: bool,
        /// The tool around it, which may say more.
        object: &'a Map<String, Value>,
    },
    /// Of a type that OpenAI does not have.
    Foreign {
        at: String,
        object: &'a Map<String, Value>,
    },
}

/// Which tool a model is to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::conversion) enum ToolChoice<'a> {
    Auto,
    None,
    Required,
    Function(&'a str),
}

pub(in crate::conversion) fn tools<'a>(
    body: &'a Map<String, Value>,
    target: &Target<'_>,
) -> Result<Vec<Tool<'a>>, GatewayError> {
    let items = match body.get("tools") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(GatewayError::invalid("tools", "`tools` must be a list")),
    };
    let numbered = items.iter().enumerate();
    numbered
        .map(|(index, item)| tool(format!("tools[{index}]"), item, target))
        .collect()
}

fn tool<'a>(at: String, item: &'a Value, target: &Target<'_>) -> Result<Tool<'a>, GatewayError> {
    let Some(object) = item.as_object() else {
        return Err(GatewayError::invalid(
            &at,
            format!("`{at}` must be an object"),
        ));
    };
    match object.get("type").and_then(Value::as_str) {
        Some("function") => {}
        Some("custom") if object.contains_key("custom") => {
            let remedy = "describe the tool as a function";
            return Err(target.unsupported(format!("{at}.custom"), remedy));
        }
        _ => return Ok(Tool::Foreign { at, object }),
    }
    let function = object.get("function");
    let member = |name: &str| function.and_then(|function| function.get(name));
    let Some(name) = member("name").and_then(Value::as_str) else {
        let param = format!("{at}.function.name");
        let message = format!("`{param}` must be a string");
        return Err(GatewayError::invalid(&param, message));
    };
    Ok(Tool::Function {
        name,
        description: member("description").and_then(Value::as_str),
        parameters: member("parameters").filter(|schema| !schema.is_null()),
        is_strict: member("strict").and_then(Value::as_bool) == Some(true),
        object,
    })
}

pub(in crate::conversion) fn tool_choice<'a>(
    body: &'a Map<String, Value>,
    target: &Target<'_>,
) -> Result<Option<ToolChoice<'a>>, GatewayError> {
    let value = match body.get("tool_choice") {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value,
    };
    let function = value
        .get("function")
        .and_then(|function| function.get("name"))
        .and_then(Value::as_str);
    match (value.as_str(), function) {
        (Some("auto"), _) => Ok(Some(ToolChoice::Auto)),
        (Some("none"), _) => Ok(Some(ToolChoice::None)),
        (Some("required"), _) => Ok(Some(ToolChoice::Required)),
        (None, Some(name)) => Ok(Some(ToolChoice::Function(name))),
        _ => Err(target.unsupported(
            "tool_choice",
            "use auto, none, required or a function by its name",
        )),
    }
}

/// Whether several tools may be called at once, where anybody said.
pub(in crate::conversion) fn parallel_tool_calls(
    body: &Map<String, Value>,
) -> Result<Option<bool>, GatewayError> {
    match body.get("parallel_tool_calls") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(allowed)) => Ok(Some(*allowed)),
        Some(_) => Err(GatewayError::invalid(
            "parallel_tool_calls",
            "`parallel_tool_calls` must be true or false",
        )),
    }
}
