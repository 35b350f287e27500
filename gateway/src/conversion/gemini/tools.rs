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
    let tools = tools(chat, target)?;
    if parallel_tool_calls(chat)? == Some(false) && !tools.is_empty() {
        let remedy = "leave it out: the model decides how many tools it calls at once";
        return Err(target.unsupported("parallel_tool_calls", remedy));
    }
    let (mut functions, mut others) = (Vec::new(), Vec::new());
    let mut is_strict = false;
    for tool in &tools {
        match tool {
            Tool::Function {
                is_strict: strict, ..
            } => {
                is_strict |= strict;
                functions.push(function(tool));
            }
            // `{"google_search": {}}`, say.
            Tool::Foreign { at, object } if object.contains_key("type") => {
                return Err(target.unsupported(format!("{at}.type"), "use functions"));
            }
            Tool::Foreign { object, .. } => others.push(Value::Object((*object).clone())),
        }
    }
    let choice = tool_choice(chat, target)?;
    let has_functions = !functions.is_empty();
    if has_functions {
        others.insert(0, json!({"functionDeclarations": functions}));
    }
    if !others.is_empty() {
        body.insert("tools".into(), others.into());
    }
    let calling = match choice {
        Some(ToolChoice::Required | ToolChoice::Function(_)) if !has_functions => {
            let message = "`tool_choice` asks for a tool, but `tools` has none";
            return Err(GatewayError::invalid("tool_choice", message));
        }
        _ if !has_functions => return Ok(()),
        Some(ToolChoice::None) => json!({"mode": "NONE"}),
        Some(ToolChoice::Required) => json!({"mode": "ANY"}),
        Some(ToolChoice::Function(name)) => json!({"mode": "ANY", "allowedFunctionNames": [name]}),
        // Calls keep to their schemas.
        Some(ToolChoice::Auto) | None if is_strict => json!({"mode": "VALIDATED"}),
        Some(ToolChoice::Auto) => json!({"mode": "AUTO"}),
        None => return Ok(()),
    };
    body.insert(
        "toolConfig".into(),
        json!({"functionCallingConfig": calling}),
    );
    Ok(())
}

fn function(tool: &Tool<'_>) -> Value {
    let Tool::Function {
        name,
        description,
        parameters,
        ..
    } = tool
    else {
        return Value::Null;
    };
    let mut declaration = json!({"name": name});
    if let Some(description) = description {
        declaration["description"] = (*description).into();
    }
    if let Some(schema) = parameters {
        declaration["parametersJsonSchema"] = (*schema).clone();
    }
    declaration
}
