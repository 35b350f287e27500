//! What a message says, part by part.

use serde_json::{Map, Value};

use crate::error::GatewayError;

/// A part and its place, e.g. `messages[0].content[1]`.
#[derive(Debug)]
pub(in crate::conversion) struct Part<'a> {
    pub(in crate::conversion) at: String,
    pub(in crate::conversion) kind: PartKind<'a>,
}

#[derive(Debug)]
pub(in crate::conversion) enum PartKind<'a> {
    /// Never empty.
    Text {
        text: &'a str,
        /// The part itself, where there is one.
        object: Option<&'a Map<String, Value>>,
    },
    /// An image by its URL, which may hold it.
    Image { url: &'a str },
    /// A file by a URL that holds it.
    File { name: Option<&'a str>, url: &'a str },
    /// A file that only OpenAI has.
    FileId,
    /// Sound in Base64.
    Audio { data: &'a str, format: &'a str },
    /// Of a type that OpenAI does not have.
    Foreign { object: &'a Map<String, Value> },
}

/// The parts of a message's `content`; empty texts say nothing.
pub(in crate::conversion) fn parts<'a>(
    at: &str,
    content: Option<&'a Value>,
) -> Result<Vec<Part<'a>>, GatewayError> {
    match content {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(text_part(at.to_owned(), text, None).into_iter().collect()),
        Some(Value::Array(items)) => {
            let mut found = Vec::new();
            for (index, item) in items.iter().enumerate() {
                found.extend(part(format!("{at}[{index}]"), item)?);
            }
            Ok(found)
        }
        Some(_) => Err(GatewayError::invalid(
            at,
            format!("`{at}` must be a string or a list of parts"),
        )),
    }
}

fn text_part<'a>(
    at: String,
    text: &'a str,
    object: Option<&'a Map<String, Value>>,
) -> Option<Part<'a>> {
    (!text.is_empty()).then_some(Part {
        at,
        kind: PartKind::Text { text, object },
    })
}

fn part(at: String, item: &Value) -> Result<Option<Part<'_>>, GatewayError> {
    let Some(object) = item.as_object() else {
        return Err(missing(&at, "type"));
    };
    let string = |member: &str, field: &str| {
        object
            .get(member)
            .and_then(|value| value.get(field))
            .and_then(Value::as_str)
    };
    let text = |field: &str| {
        let text = object.get(field).and_then(Value::as_str);
        text.ok_or_else(|| missing(&at, field))
    };
    let kind = match object.get("type").and_then(Value::as_str) {
        None => return Err(missing(&at, "type")),
        Some("text") => return Ok(text_part(at.clone(), text("text")?, Some(object))),
        // What an assistant would not say is said, too.
        Some("refusal") => return Ok(text_part(at.clone(), text("refusal")?, None)),
        Some("image_url") => {
            let short = object.get("image_url").and_then(Value::as_str);
            let url = string("image_url", "url").or(short);
            PartKind::Image {
                url: url.ok_or_else(|| missing(&at, "image_url.url"))?,
            }
        }
        Some("file") => match string("file", "file_data") {
            Some(url) => PartKind::File {
                name: string("file", "filename"),
                url,
            },
            None if string("file", "file_id").is_some() => PartKind::FileId,
            None => return Err(missing(&at, "file.file_data")),
        },
        Some("input_audio") => PartKind::Audio {
            data: string("input_audio", "data").ok_or_else(|| missing(&at, "input_audio.data"))?,
            format: string("input_audio", "format")
                .ok_or_else(|| missing(&at, "input_audio.format"))?,
        },
        Some(_) => PartKind::Foreign { object },
    };
    Ok(Some(Part { at, kind }))
}

fn missing(at: &str, field: &str) -> GatewayError {
    let param = format!("{at}.{field}");
    let message = format!("`{param}` must be a string");
    GatewayError::invalid(&param, message)
}
