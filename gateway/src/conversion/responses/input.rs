//! What was said so far: the items of an input as messages of a chat.

use serde_json::{Value, json};

use crate::conversion::blocks::{kind, plain, text, unknown};
use crate::error::GatewayError;
use crate::types::fields;

/// The messages, and where each came from.
pub(super) fn messages(
    instructions: Option<Value>,
    input: Option<Value>,
) -> Result<(Vec<Value>, Vec<String>), GatewayError> {
    let mut reader = Reader::default();
    match instructions {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) => {
            reader.add("instructions", json!({"role": "system", "content": text}));
        }
        Some(other) => return Err(wrong("instructions", &other, "a string")),
    }
    match input {
        Some(Value::String(text)) => reader.add("input", json!({"role": "user", "content": text})),
        Some(Value::Array(items)) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                reader.item(&format!("input[{index}]"), item)?;
            }
        }
        None | Some(Value::Null | Value::Array(_)) => {
            return Err(GatewayError::invalid(
                "input",
                "`input` is missing or empty: send a text or at least one item",
            ));
        }
        Some(other) => return Err(wrong("input", &other, "a string or a list of items")),
    }
    if reader.messages.is_empty() {
        return Err(GatewayError::invalid(
            "input",
            "`input` has only reasoning: send at least one message",
        ));
    }
    Ok((reader.messages, reader.origins))
}

#[derive(Default)]
struct Reader {
    messages: Vec<Value>,
    origins: Vec<String>,
}

impl Reader {
    fn add(&mut self, at: &str, message: Value) {
        self.messages.push(message);
        self.origins.push(at.to_owned());
    }

    fn item(&mut self, at: &str, item: &Value) -> Result<(), GatewayError> {
        let Value::Object(fields) = item else {
            return Err(wrong(at, item, "an object"));
        };
        match fields.get("type").and_then(Value::as_str) {
            None | Some("message") => {
                let message = message(at, item)?;
                self.add(at, message);
            }
            Some("function_call") => self.call(
                at,
                json!({
                    "id": text(at, item, "call_id")?,
                    "type": "function",
                    "function": {
                        "name": text(at, item, "name")?,
                        "arguments": text(at, item, "arguments")?,
                    },
                }),
            ),
            Some("function_call_output") => {
                let output = output(&format!("{at}.output"), item.get("output"))?;
                self.add(
                    at,
                    json!({
                        "role": "tool",
                        "tool_call_id": text(at, item, "call_id")?,
                        "content": output,
                    }),
                );
            }
            // What a model thought before has no place in a chat.
            Some("reasoning") => {}
            Some("item_reference") => {
                return Err(GatewayError::invalid(
                    at,
                    format!(
                        "`{at}` refers to a stored item, but this gateway stores none: send the item itself"
                    ),
                ));
            }
            Some(other) => {
                return Err(unknown(
                    at,
                    other,
                    "message, function_call, function_call_output, reasoning",
                ));
            }
        }
        Ok(())
    }

    /// Calls belong to the message before them, where that is the model's.
    fn call(&mut self, at: &str, call: Value) {
        if let Some(last) = self.messages.last_mut()
            && last["role"] == "assistant"
        {
            match last.get_mut("tool_calls").and_then(Value::as_array_mut) {
                Some(calls) => calls.push(call),
                None => last["tool_calls"] = json!([call]),
            }
            return;
        }
        self.add(
            at,
            json!({"role": "assistant", "content": null, "tool_calls": [call]}),
        );
    }
}

fn message(at: &str, item: &Value) -> Result<Value, GatewayError> {
    let role = item.get("role").and_then(Value::as_str);
    let Some(role) =
        role.filter(|role| ["user", "assistant", "system", "developer"].contains(role))
    else {
        let param = format!("{at}.role");
        return Err(GatewayError::invalid(
            &param,
            format!("`{param}` must be one of user, assistant, system, developer"),
        ));
    };
    let within = format!("{at}.content");
    let content = match item.get("content") {
        Some(Value::String(text)) => text.as_str().into(),
        Some(Value::Array(parts)) => {
            let parts = parts
                .iter()
                .enumerate()
                .map(|(index, part)| self::part(&format!("{within}[{index}]"), part))
                .collect::<Result<Vec<_>, _>>()?;
            plain(parts)
        }
        _ => {
            return Err(GatewayError::invalid(
                &within,
                format!("`{within}` must be a string or a list of parts"),
            ));
        }
    };
    Ok(json!({"role": role, "content": content}))
}

fn part(at: &str, part: &Value) -> Result<Value, GatewayError> {
    match kind(at, part)? {
        "input_text" | "output_text" => {
            Ok(json!({"type": "text", "text": text(at, part, "text")?}))
        }
        "refusal" => Ok(json!({"type": "refusal", "refusal": text(at, part, "refusal")?})),
        "input_image" => {
            stored(at, part)?;
            let mut image = json!({"url": text(at, part, "image_url")?});
            if let Some(detail) = part.get("detail").filter(|value| !value.is_null()) {
                image["detail"] = detail.clone();
            }
            Ok(json!({"type": "image_url", "image_url": image}))
        }
        "input_file" => {
            stored(at, part)?;
            let data = text(at, part, "file_data")?;
            let name = part
                .get("filename")
                .and_then(Value::as_str)
                .unwrap_or("document.pdf");
            Ok(json!({"type": "file", "file": {"filename": name, "file_data": data}}))
        }
        "input_audio" => Ok(json!({"type": "input_audio", "input_audio": part.get("input_audio")})),
        other => Err(unknown(
            at,
            other,
            "input_text, input_image, input_file, input_audio, output_text, refusal",
        )),
    }
}

fn stored(at: &str, part: &Value) -> Result<(), GatewayError> {
    match part.get("file_id") {
        None | Some(Value::Null) => Ok(()),
        Some(_) => {
            let param = format!("{at}.file_id");
            Err(GatewayError::invalid(
                &param,
                format!(
                    "`{param}` names a stored file, but this gateway stores none: send its data"
                ),
            ))
        }
    }
}

fn output(at: &str, output: Option<&Value>) -> Result<Value, GatewayError> {
    match output {
        Some(Value::String(text)) => Ok(text.as_str().into()),
        Some(Value::Array(parts)) => parts
            .iter()
            .enumerate()
            .map(|(index, part)| {
                let at = format!("{at}[{index}]");
                match kind(&at, part)? {
                    "input_text" => text(&at, part, "text"),
                    other => Err(unknown(&at, other, "input_text")),
                }
            })
            .collect::<Result<String, _>>()
            .map(Value::from),
        _ => Err(GatewayError::invalid(
            at,
            format!("`{at}` must be a string or a list of text parts"),
        )),
    }
}

fn wrong(at: &str, found: &Value, expected: &str) -> GatewayError {
    GatewayError::invalid(
        at,
        format!(
            "`{at}` is {}, but must be {expected}",
            fields::quoted(found)
        ),
    )
}
