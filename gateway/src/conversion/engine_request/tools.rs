//! Functions that the model may call.

use serde_json::{Map, Value};

use super::{first_unknown, unsupported};
use crate::error::GatewayError;
use crate::models::{Tool, ToolChoice};
use crate::types::fields;

pub(super) fn tools(body: &Map<String, Value>, model: &str) -> Result<Vec<Tool>, GatewayError> {
    let items = match fields::present(body, "tools") {
        None => return Ok(Vec::new()),
        Some(Value::Array(items)) => items,
        Some(other) => {
            let found = fields::quoted(other);
            let message = format!("`tools` is {found}, but must be a list");
            return Err(GatewayError::invalid("tools", message));
        }
    };
    let numbered = items.iter().enumerate();
    numbered
        .map(|(index, item)| tool(&format!("tools[{index}]"), item, model))
        .collect()
}

fn tool(at: &str, item: &Value, model: &str) -> Result<Tool, GatewayError> {
    let object = object(at, Some(item))?;
    let kind = object.get("type").and_then(Value::as_str);
    if kind != Some("function") {
        let kind = kind.unwrap_or("unknown");
        return Err(unsupported(model, format!("{at} of type {kind}")));
    }
    if let Some(member) = first_unknown(object, &["type", "function"]) {
        return Err(unsupported(model, format!("{at}.{member}")));
    }
    let at = &format!("{at}.function");
    let function = self::object(at, object.get("function"))?;
    let known = ["name", "description", "parameters", "strict"];
    if let Some(member) = first_unknown(function, &known) {
        return Err(unsupported(model, format!("{at}.{member}")));
    }
    let placed = |error: GatewayError| match error {
        GatewayError::InvalidRequest { message, param } => {
            let field = param.unwrap_or_default();
            let place = format!("{at}.{field}");
            let message = message.replacen(&format!("`{field}`"), &format!("`{place}`"), 1);
            GatewayError::invalid(&place, message)
        }
        other => other,
    };
    let name = fields::string(function, "name").map_err(placed)?;
    let parameters = fields::present(function, "parameters");
    if parameters.is_some_and(|schema| !schema.is_object()) {
        let place = format!("{at}.parameters");
        let message = format!("`{place}` must be a JSON schema");
        return Err(GatewayError::invalid(&place, message));
    }
    Ok(Tool {
        name: name.ok_or_else(|| {
            let place = format!("{at}.name");
            let message = format!("`{place}` must be a string");
            GatewayError::invalid(&place, message)
        })?,
        description: fields::string(function, "description").map_err(placed)?,
        parameters: parameters.cloned(),
        is_strict: fields::boolean(function, "strict").map_err(placed)? == Some(true),
    })
}

fn object<'a>(at: &str, value: Option<&'a Value>) -> Result<&'a Map<String, Value>, GatewayError> {
    value
        .and_then(Value::as_object)
        .ok_or_else(|| GatewayError::invalid(at, format!("`{at}` must be an object")))
}

pub(super) fn tool_choice(
    body: &Map<String, Value>,
    model: &str,
) -> Result<ToolChoice, GatewayError> {
    let Some(value) = fields::present(body, "tool_choice") else {
        return Ok(ToolChoice::Auto);
    };
    let named = || value.get("function")?.get("name")?.as_str();
    match (value.as_str(), value.get("type").and_then(Value::as_str)) {
        (Some("auto"), _) => Ok(ToolChoice::Auto),
        (Some("none"), _) => Ok(ToolChoice::None),
        (Some("required"), _) => Ok(ToolChoice::Required),
        (None, Some("function")) if named().is_some() => {
            Ok(ToolChoice::Named(named().unwrap_or_default().to_owned()))
        }
        (None, Some(kind @ ("allowed_tools" | "custom"))) => {
            Err(unsupported(model, format!("tool_choice of type {kind}")))
        }
        _ => {
            let found = fields::quoted(value);
            let message = format!(
                "`tool_choice` is {found}, but must be auto, none, required or a function by its name"
            );
            Err(GatewayError::invalid("tool_choice", message))
        }
    }
}
