//! What a request asks of an answer's form.

use serde_json::{Map, Value};

use crate::error::GatewayError;

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::conversion) enum Format<'a> {
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON of this schema.
    JsonSchema(&'a Value),
}

pub(in crate::conversion) fn format(value: &Value) -> Result<Format<'_>, GatewayError> {
    let at = "response_format";
    match value.get("type").and_then(Value::as_str) {
        Some("text") => Ok(Format::Text),
        Some("json_object") => Ok(Format::JsonObject),
        Some("json_schema") => {
            let schema = value.get("json_schema").and_then(|form| form.get("schema"));
            let param = "response_format.json_schema.schema";
            let schema = schema.filter(|schema| schema.is_object());
            schema.map(Format::JsonSchema).ok_or_else(|| {
                GatewayError::invalid(param, format!("`{param}` must be a JSON schema"))
            })
        }
        _ => Err(GatewayError::invalid(
            at,
            "`response_format.type` must be text, json_object or json_schema",
        )),
    }
}

/// A number that means the same everywhere.
pub(in crate::conversion) fn number(field: &str, value: &Value) -> Result<Value, GatewayError> {
    if value.is_number() {
        Ok(value.clone())
    } else {
        let message = format!("`{field}` must be a number");
        Err(GatewayError::invalid(field, message))
    }
}

/// How much a model is to think.
pub(in crate::conversion) fn effort(value: &Value) -> Result<&str, GatewayError> {
    const EFFORTS: [&str; 7] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];
    let effort = value.as_str().filter(|effort| EFFORTS.contains(effort));
    effort.ok_or_else(|| {
        GatewayError::invalid(
            "reasoning_effort",
            format!("`reasoning_effort` must be one of {EFFORTS:?}"),
        )
    })
}

/// Change a nested object, made where it is absent. What is no object gives way to one.
pub(in crate::conversion) fn edit_at(
    body: &mut Map<String, Value>,
    field: &str,
    edit: impl FnOnce(&mut Map<String, Value>),
) {
    let mut object = match body.remove(field) {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    };
    edit(&mut object);
    body.insert(field.to_owned(), object.into());
}
