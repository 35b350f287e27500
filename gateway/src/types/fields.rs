//! Typed access to the fields of a JSON object, with errors that name the field.

use std::fmt;

use serde_json::{Map, Value};

use crate::error::GatewayError;

/// Longest part of a wrong value that an error repeats.
const QUOTE_LIMIT: usize = 80;

/// A field's value; `null` counts as absent.
pub(crate) fn present<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name).filter(|value| !value.is_null())
}

pub(crate) fn string(
    object: &Map<String, Value>,
    name: &str,
) -> Result<Option<String>, GatewayError> {
    convert(object, name, format_args!("a string"), |value| {
        value.as_str().map(str::to_owned)
    })
}

pub(crate) fn boolean(
    object: &Map<String, Value>,
    name: &str,
) -> Result<Option<bool>, GatewayError> {
    convert(object, name, format_args!("true or false"), Value::as_bool)
}

/// A number within bounds, both inclusive.
pub(crate) fn number(
    object: &Map<String, Value>,
    name: &str,
    (least, most): (f64, f64),
) -> Result<Option<f64>, GatewayError> {
    convert(
        object,
        name,
        format_args!("a number from {least} to {most}"),
        |value| {
            value
                .as_f64()
                .filter(|number| (least..=most).contains(number))
        },
    )
}

pub(crate) fn count(object: &Map<String, Value>, name: &str) -> Result<Option<u32>, GatewayError> {
    let expected = format_args!("a whole number of at least 1");
    convert(object, name, expected, |value| {
        value
            .as_u64()
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| *number > 0)
    })
}

pub(crate) fn whole(object: &Map<String, Value>, name: &str) -> Result<Option<u32>, GatewayError> {
    let expected = format_args!("a whole number of at least 0");
    convert(object, name, expected, |value| {
        value.as_u64().and_then(|number| u32::try_from(number).ok())
    })
}

/// Any whole number of 64 bits; a negative one keeps its bits.
pub(crate) fn seed(object: &Map<String, Value>) -> Result<Option<u64>, GatewayError> {
    let expected = format_args!("a whole number of 64 bits");
    convert(object, "seed", expected, |value| {
        value
            .as_u64()
            .or_else(|| value.as_i64().map(i64::cast_unsigned))
    })
}

/// A string, or a list of at most `most` strings.
pub(crate) fn strings(
    object: &Map<String, Value>,
    name: &str,
    most: usize,
) -> Result<Vec<String>, GatewayError> {
    let found = convert(
        object,
        name,
        format_args!("a string or a list of at most {most} strings"),
        |value| match value {
            Value::String(text) => Some(vec![text.clone()]),
            Value::Array(items) if items.len() <= most => items
                .iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect(),
            _ => None,
        },
    )?;
    Ok(found.unwrap_or_default())
}

/// `value` as an error shows it.
pub(crate) fn quoted(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(QUOTE_LIMIT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// What was `expected` is put into words only where something else was found.
fn convert<T>(
    object: &Map<String, Value>,
    name: &str,
    expected: fmt::Arguments<'_>,
    read: impl FnOnce(&Value) -> Option<T>,
) -> Result<Option<T>, GatewayError> {
    let Some(value) = present(object, name) else {
        return Ok(None);
    };
    match read(value) {
        Some(found) => Ok(Some(found)),
        None => Err(GatewayError::invalid(
            name,
            format!("`{name}` is {}, but must be {expected}", quoted(value)),
        )),
    }
}
