//! The functions that a model may call.

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
                .into_iter()
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
    if let Some(choice) = body.remove("tool_choice").filter(|value| !value.is_null()) {
        chat.insert("tool_choice".into(), self::choice(choice)?);
    }
    Ok(())
}

fn function(at: &str, tool: Value) -> Result<Value, GatewayError> {
    match tool {
        Value::Object(mut function) if function.get("type") == Some(&"function".into()) => {
            function.remove("type");
            Ok(json!({"type": "function", "function": function}))
        }
        other => {
            let param = format!("{at}.type");
            let found = fields::quoted(other.get("type").unwrap_or(&Value::Null));
            Err(GatewayError::invalid(
                &param,
                format!(
                    "`{param}` is {found}, a hosted tool that this gateway does not offer: use type function"
                ),
            ))
        }
    }
}

fn choice(choice: Value) -> Result<Value, GatewayError> {
    match &choice {
        Value::String(_) => Ok(choice),
        Value::Object(fields) if fields.get("type") == Some(&"function".into()) => {
            Ok(json!({"type": "function", "function": {"name": fields.get("name")}}))
        }
        other => Err(GatewayError::invalid(
            "tool_choice",
            format!(
                "`tool_choice` is {}, but must be auto, none, required or a function",
                fields::quoted(other)
            ),
        )),
    }
}
