//! The tools that a model may call.

use serde_json::{Map, Value, json};

use crate::error::GatewayError;
use crate::types::fields;

/// Move the tools, and the choice among them.
pub(super) fn translate(
    body: &mut Map<String, Value>,
    chat: &mut Map<String, Value>,
) -> Result<(), GatewayError> {
    match body.remove("tools") {
        None | Some(Value::Null) => {}
        Some(Value::Array(tools)) => {
            let tools = tools
                .iter()
                .enumerate()
                .map(|(index, tool)| function(&format!("tools[{index}]"), tool))
                .collect::<Result<Vec<_>, _>>()?;
            if !tools.is_empty() {
                chat.insert("tools".into(), tools.into());
            }
        }
        Some(other) => {
            return Err(GatewayError::invalid(
                "tools",
                format!("`tools` is {}, but must be a list", fields::quoted(&other)),
            ));
        }
    }
    match body.remove("tool_choice") {
        None | Some(Value::Null) => Ok(()),
        Some(choice) => {
            chat.insert("tool_choice".into(), translate_choice(&choice)?);
            if choice.get("disable_parallel_tool_use") == Some(&Value::Bool(true)) {
                chat.insert("parallel_tool_calls".into(), false.into());
            }
            Ok(())
        }
    }
}

fn function(at: &str, tool: &Value) -> Result<Value, GatewayError> {
    match tool.get("type") {
        None | Some(Value::Null) => {}
        Some(kind) if kind == "custom" => {}
        Some(kind) => {
            let param = format!("{at}.type");
            let kind = fields::quoted(kind);
            return Err(GatewayError::invalid(
                &param,
                format!(
                    "`{param}` is {kind}, a tool of Anthropic's own that this gateway does not offer: use type custom"
                ),
            ));
        }
    }
    let Some(name) = tool.get("name").and_then(Value::as_str) else {
        let param = format!("{at}.name");
        return Err(GatewayError::invalid(
            &param,
            format!("`{param}` must be a string"),
        ));
    };
    let Some(schema @ Value::Object(_)) = tool.get("input_schema") else {
        let param = format!("{at}.input_schema");
        return Err(GatewayError::invalid(
            &param,
            format!("`{param}` must be a JSON schema"),
        ));
    };
    let mut function = json!({"name": name, "parameters": schema});
    for field in ["description", "strict"] {
        if let Some(value) = tool.get(field).filter(|value| !value.is_null()) {
            function[field] = value.clone();
        }
    }
    Ok(json!({"type": "function", "function": function}))
}

fn translate_choice(choice: &Value) -> Result<Value, GatewayError> {
    match choice.get("type").and_then(Value::as_str) {
        Some("auto") => Ok("auto".into()),
        Some("any") => Ok("required".into()),
        Some("none") => Ok("none".into()),
        Some("tool") => match choice.get("name").and_then(Value::as_str) {
            Some(name) => Ok(json!({"type": "function", "function": {"name": name}})),
            None => Err(GatewayError::invalid(
                "tool_choice.name",
                "`tool_choice.name` must be the name of a tool",
            )),
        },
        _ => Err(GatewayError::invalid(
            "tool_choice.type",
            "`tool_choice.type` must be one of auto, any, tool, none",
        )),
    }
}
