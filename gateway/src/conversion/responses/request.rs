//! A request of the Responses API as a chat.

use serde_json::{Map, Value, json};

use super::{input, tools};
use crate::conversion::FieldNames;
use crate::error::GatewayError;
use crate::types::{ChatRequest, fields};

/// A checked request.
#[derive(Clone, Debug, PartialEq)]
pub struct ResponsesRequest {
    /// The same as a chat.
    pub chat: ChatRequest,
    /// How errors about the chat are told.
    pub names: FieldNames,
    /// The fields that a response repeats, with their defaults.
    pub echo: Map<String, Value>,
}

/// What the chat calls differently.
const FIELDS: &[(&str, &str)] = &[
    ("max_completion_tokens", "max_output_tokens"),
    ("reasoning_effort", "reasoning.effort"),
    ("response_format", "text.format"),
    ("verbosity", "text.verbosity"),
    ("logprobs", "include"),
];
/// Fields of a service that keeps responses, prompts or jobs.
const STATEFUL: [&str; 4] = [
    "previous_response_id",
    "conversation",
    "prompt",
    "context_management",
];
/// Answered before the chat, or already what they would ask for. OpenAI's chats take metadata only to store it.
const SETTLED: [&str; 11] = [
    "background",
    "context_management",
    "conversation",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "previous_response_id",
    "prompt",
    "store",
    "stream_options",
    "truncation",
];
/// What may be included, and is where the model tells it.
const ENCRYPTED_REASONING: &str = "reasoning.encrypted_content";
const LOGPROBS: &str = "message.output_text.logprobs";

/// Translate a body. Fields that OpenAI does not know are kept as they are.
pub fn chat_request(mut body: Map<String, Value>) -> Result<ResponsesRequest, GatewayError> {
    refuse_stateful(&body)?;
    let echo = echo(&body);
    let mut chat = Map::new();
    let (messages, origins) = input::messages(body.remove("instructions"), body.remove("input"))?;
    chat.insert("messages".into(), messages.into());
    let names = FieldNames {
        messages: origins,
        fields: FIELDS,
    };
    if let Some(most) = fields::count(&body, "max_output_tokens")? {
        chat.insert("max_completion_tokens".into(), most.into());
    }
    text(&mut body, &mut chat)?;
    reasoning(&mut body, &mut chat)?;
    include(&mut body, &mut chat)?;
    tools::translate(&mut body, &mut chat)?;
    if fields::boolean(&body, "stream")?.unwrap_or(false) {
        chat.insert("stream_options".into(), json!({"include_usage": true}));
    }
    for settled in SETTLED {
        body.remove(settled);
    }
    // The rest has the same name and meaning, or none that we know.
    for (name, value) in body {
        chat.entry(name).or_insert(value);
    }
    let chat = ChatRequest::from_object(chat).map_err(|error| names.translate(error))?;
    Ok(ResponsesRequest { chat, names, echo })
}

fn refuse_stateful(body: &Map<String, Value>) -> Result<(), GatewayError> {
    if let Some(field) = STATEFUL
        .into_iter()
        .find(|field| fields::present(body, field).is_some())
    {
        return Err(GatewayError::invalid(
            field,
            format!(
                "`{field}` is not supported: this gateway keeps no state, so send the whole conversation as `input`"
            ),
        ));
    }
    if fields::boolean(body, "store")? == Some(true) {
        return Err(GatewayError::invalid(
            "store",
            "`store` is true, but this gateway stores no responses: leave it out, or send false",
        ));
    }
    if fields::boolean(body, "background")? == Some(true) {
        return Err(GatewayError::invalid(
            "background",
            "`background` is true, but this gateway runs nothing in the background: use `stream` for long answers",
        ));
    }
    if fields::present(body, "max_tool_calls").is_some() {
        return Err(GatewayError::invalid(
            "max_tool_calls",
            "`max_tool_calls` counts calls of hosted tools, which this gateway does not offer: leave it out",
        ));
    }
    match fields::present(body, "truncation") {
        None => {}
        Some(value) if value == "disabled" => {}
        Some(other) => {
            return Err(GatewayError::invalid(
                "truncation",
                format!(
                    "`truncation` is {}, but only disabled is supported: shorten `input` instead",
                    fields::quoted(other)
                ),
            ));
        }
    }
    match fields::present(body, "stream_options") {
        Some(Value::Object(options))
            if options.get("include_obfuscation") == Some(&Value::Bool(true)) =>
        {
            Err(GatewayError::invalid(
                "stream_options.include_obfuscation",
                "`stream_options.include_obfuscation` is not supported: leave it out, or send false",
            ))
        }
        _ => Ok(()),
    }
}

/// What a response repeats of its request, with the defaults.
fn echo(body: &Map<String, Value>) -> Map<String, Value> {
    let mut echo = json!({
        "instructions": null, "max_output_tokens": null, "max_tool_calls": null, "metadata": {},
        "parallel_tool_calls": true, "previous_response_id": null, "prompt_cache_key": null,
        "reasoning": {"effort": null, "summary": null}, "safety_identifier": null, "service_tier": "auto",
        "temperature": 1.0, "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [],
        "top_p": 1.0, "truncation": "disabled",
    });
    for (field, value) in echo.as_object_mut().into_iter().flatten() {
        if let Some(sent) = fields::present(body, field) {
            value.clone_from(sent);
        }
    }
    match echo {
        Value::Object(echo) => echo,
        _ => Map::new(),
    }
}

fn object(body: &mut Map<String, Value>, field: &str) -> Result<Map<String, Value>, GatewayError> {
    match body.remove(field) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(object)) => Ok(object),
        Some(other) => Err(GatewayError::invalid(
            field,
            format!(
                "`{field}` is {}, but must be an object",
                fields::quoted(&other)
            ),
        )),
    }
}

fn text(body: &mut Map<String, Value>, chat: &mut Map<String, Value>) -> Result<(), GatewayError> {
    let mut text = object(body, "text")?;
    if let Some(verbosity) = text.remove("verbosity").filter(|value| !value.is_null()) {
        chat.insert("verbosity".into(), verbosity);
    }
    let Some(format) = text.remove("format").filter(|value| !value.is_null()) else {
        return Ok(());
    };
    let translated = match format.get("type").and_then(Value::as_str) {
        Some("text") => return Ok(()),
        Some("json_object") => format,
        Some("json_schema") => {
            let Value::Object(mut schema) = format else {
                unreachable!("it has a type")
            };
            schema.remove("type");
            json!({"type": "json_schema", "json_schema": schema})
        }
        _ => {
            return Err(GatewayError::invalid(
                "text.format.type",
                "`text.format.type` must be one of text, json_object, json_schema",
            ));
        }
    };
    chat.insert("response_format".into(), translated);
    Ok(())
}

fn reasoning(
    body: &mut Map<String, Value>,
    chat: &mut Map<String, Value>,
) -> Result<(), GatewayError> {
    let reasoning = object(body, "reasoning")?;
    for (field, value) in reasoning.into_iter().filter(|(_, value)| !value.is_null()) {
        if field != "effort" {
            let param = format!("reasoning.{field}");
            return Err(GatewayError::invalid(
                &param,
                format!("`{param}` is not supported: leave it out"),
            ));
        }
        chat.insert("reasoning_effort".into(), value);
    }
    Ok(())
}

fn include(
    body: &mut Map<String, Value>,
    chat: &mut Map<String, Value>,
) -> Result<(), GatewayError> {
    for item in fields::strings(body, "include", usize::MAX)? {
        match item.as_str() {
            // Of reasoning items, of which no answer has any.
            ENCRYPTED_REASONING => {}
            LOGPROBS if body.get("stream") == Some(&Value::Bool(true)) => {
                return Err(GatewayError::invalid(
                    "include",
                    format!(
                        "`include` of {LOGPROBS} is not supported with `stream`: leave one of them out"
                    ),
                ));
            }
            LOGPROBS => {
                chat.insert("logprobs".into(), true.into());
            }
            other => {
                return Err(GatewayError::invalid(
                    "include",
                    format!(
                        "`include` names {}, but this gateway can include only {LOGPROBS}",
                        fields::quoted(&other.into())
                    ),
                ));
            }
        }
    }
    body.remove("include");
    Ok(())
}
