//! Tools and the choice among them.

use serde_json::{Map, Value, json};

use crate::conversion::Target;
use crate::conversion::chat::tools::{Tool, ToolChoice, parallel_tool_calls, tool_choice, tools};
use crate::error::GatewayError;

pub(super) fn add(
    body: &mut Map<String, Value>,
    chat: &Map<String, Value>,
    target: &Target<'_>,
) -> Result<(), GatewayError> {
    let tools: Vec<Value> = tools(chat, target)?.iter().map(tool).collect();
    let choice = tool_choice(chat, target)?;
    let is_single = parallel_tool_calls(chat)? == Some(false);
    if tools.is_empty() {
        return match choice {
            None | Some(ToolChoice::Auto | ToolChoice::None) => Ok(()),
            Some(ToolChoice::Required | ToolChoice::Function(_)) => Err(GatewayError::invalid(
                "tool_choice",
                "`tool_choice` asks for a tool, but `tools` has none",
            )),
        };
    }
    body.insert("tools".into(), tools.into());
    let mut choice = match choice {
        Some(ToolChoice::Auto) => json!({"type": "auto"}),
        Some(ToolChoice::None) => json!({"type": "none"}),
        Some(ToolChoice::Required) => json!({"type": "any"}),
        Some(ToolChoice::Function(name)) => json!({"type": "tool", "name": name}),
        None if is_single => json!({"type": "auto"}),
        None => return Ok(()),
    };
    if is_single && choice["type"] != "none" {
        choice["disable_parallel_tool_use"] = true.into();
    }
    body.insert("tool_choice".into(), choice);
    Ok(())
}

fn tool(tool: &Tool<'_>) -> Value {
    match tool {
        Tool::Function {
            name,
            description,
            parameters,
            is_strict,
            object,
        } => {
            let nothing = json!({"type": "object", "properties": {}});
            let mut tool = json!({
                "name": name,
                "input_schema": parameters.unwrap_or(&nothing),
            });
            if let Some(description) = description {
                tool["description"] = (*description).into();
            }
            if *is_strict {
                tool["strict"] = true.into();
            }
            if let Some(cache) = object.get("cache_control") {
                tool["cache_control"] = cache.clone();
            }
            tool
        }
        // A tool of Anthropic's own.
        Tool::Foreign { object, .. } => Value::Object((*object).clone()),
    }
}
