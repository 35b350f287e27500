//! Embeddings of OpenAI's API, for models in this process. Pure.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claw_inference::{EmbedInput, EmbedRequest, Embeddings};
use serde_json::{Map, Value, json};

use super::chat::fields::{is_informative, says_nothing};
use crate::error::GatewayError;
use crate::models::Cancellation;
use crate::types::{ChatRequest, fields};

/// Fields that are honoured.
const HONOURED: [&str; 4] = ["model", "input", "dimensions", "encoding_format"];

/// How vectors are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A list of numbers.
    Float,
    /// 32-bit floating point, lowest byte first, in Base64.
    Base64,
}

/// A checked request.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// How the answer is written.
    pub format: Format,
    inputs: Vec<EmbedInput>,
    dimensions: Option<usize>,
}

impl Wanted {
    /// The request as the model takes it.
    pub fn into_engine(self, caller: Arc<str>, cancellation: Cancellation) -> EmbedRequest {
        EmbedRequest {
            inputs: self.inputs,
            dimensions: self.dimensions,
            caller,
            cancellation,
        }
    }
}

/// Read a request for the local model of that name. What it cannot honour is refused by name.
pub fn request(request: &ChatRequest, model: &str) -> Result<Wanted, GatewayError> {
    let body = request.body.fields();
    refuse_others(body, &HONOURED, model)?;
    let format = match fields::string(body, "encoding_format")?.as_deref() {
        None | Some("float") => Format::Float,
        Some("base64") => Format::Base64,
        Some(other) => {
            return Err(GatewayError::invalid(
                "encoding_format",
                format!("`encoding_format` is {other:?}, but must be \"float\" or \"base64\""),
            ));
        }
    };
    let dimensions = fields::count(body, "dimensions")?;
    Ok(Wanted {
        format,
        inputs: inputs(body.get("input"))?,
        dimensions: dimensions.and_then(|wanted| usize::try_from(wanted).ok()),
    })
}

/// Refuse every field that asks for something else.
pub(super) fn refuse_others(
    body: &Map<String, Value>,
    honoured: &[&str],
    model: &str,
) -> Result<(), GatewayError> {
    let other = body.iter().find(|(field, value)| {
        !honoured.contains(&field.as_str())
            && !is_informative(field)
            && !says_nothing(field, value)
            && **value != Value::Bool(false)
    });
    match other {
        None => Ok(()),
        Some((field, _)) => Err(GatewayError::UnsupportedField {
            model: model.to_owned(),
            field: field.clone(),
        }),
    }
}

fn inputs(value: Option<&Value>) -> Result<Vec<EmbedInput>, GatewayError> {
    let wrong = |at: String| {
        let message = format!(
            "`{at}` must be a text, a list of texts, a list of tokens, or a list of lists of tokens"
        );
        GatewayError::invalid(&at, message)
    };
    match value {
        Some(Value::String(text)) => Ok(vec![EmbedInput::Text(text.clone())]),
        Some(Value::Array(items)) if items.iter().all(Value::is_number) => {
            let tokens = tokens(items).ok_or_else(|| wrong("input".to_owned()))?;
            Ok(vec![EmbedInput::Tokens(tokens)])
        }
        Some(Value::Array(items)) => items
            .iter()
            .enumerate()
            .map(|(index, item)| {
                let input = match item {
                    Value::String(text) => Some(EmbedInput::Text(text.clone())),
                    Value::Array(items) => tokens(items).map(EmbedInput::Tokens),
                    _ => None,
                };
                input.ok_or_else(|| wrong(format!("input[{index}]")))
            })
            .collect(),
        _ => Err(wrong("input".to_owned())),
    }
}

fn tokens(items: &[Value]) -> Option<Vec<u32>> {
    let token = |item: &Value| u32::try_from(item.as_u64()?).ok();
    items.iter().map(token).collect()
}

/// The fields of an answer, but for its model and usage.
pub fn answer(embeddings: &Embeddings, format: Format) -> Map<String, Value> {
    let data: Vec<Value> = embeddings
        .vectors
        .iter()
        .enumerate()
        .map(|(index, vector)| {
            let embedding = match format {
                Format::Float => vector.iter().map(|&value| shortest(value)).collect(),
                Format::Base64 => {
                    let bytes: Vec<u8> = vector.iter().flat_map(|v| v.to_le_bytes()).collect();
                    Value::String(STANDARD.encode(bytes))
                }
            };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    Map::from_iter([("data".to_owned(), Value::Array(data))])
}

/// A number with the digits that single precision has, instead of those that double precision would add.
pub(super) fn shortest(value: f32) -> Value {
    let shortest = value.to_string().parse::<f64>();
    shortest.unwrap_or_else(|_| f64::from(value)).into()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::types::Task;

    fn read(body: &Value) -> Result<Wanted, GatewayError> {
        let body = body.as_object().expect("an object").clone();
        request(&ChatRequest::of_task(Task::Embed, body)?, "tiny")
    }

    fn text(text: &str) -> EmbedInput {
        EmbedInput::Text(text.to_owned())
    }

    #[rstest]
    #[case(json!("a"), vec![text("a")])]
    #[case(json!(["a", "b"]), vec![text("a"), text("b")])]
    #[case(json!([1, 2]), vec![EmbedInput::Tokens(vec![1, 2])])]
    #[case(json!([[1], [2, 3]]), vec![EmbedInput::Tokens(vec![1]), EmbedInput::Tokens(vec![2, 3])])]
    fn every_form_of_input_is_read(#[case] input: Value, #[case] expected: Vec<EmbedInput>) {
        let wanted =
            read(&json!({"input": input, "user": "kim", "dimensions": null})).expect("valid");
        assert_eq!((wanted.inputs, wanted.format), (expected, Format::Float));
    }

    #[rstest]
    #[case(json!({"input": {"text": "a"}}), "input")]
    #[case(json!({"input": ["a", 1]}), "input[1]")]
    #[case(json!({"input": [1, -1]}), "input")]
    #[case(json!({"input": "a", "encoding_format": "int8"}), "encoding_format")]
    #[case(json!({"input": "a", "dimensions": 0}), "dimensions")]
    fn what_cannot_be_is_named(#[case] body: Value, #[case] field: &str) {
        let error = read(&body).expect_err("invalid");
        let GatewayError::InvalidRequest { param, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(param.as_deref(), Some(field));
    }

    #[test]
    fn what_asks_for_something_else_is_refused() {
        let error = read(&json!({"input": "a", "truncate": true})).expect_err("unsupported");
        assert!(error.to_string().contains("`truncate`"), "{error}");
        read(&json!({"input": "a", "truncate": false})).expect("a default");
    }

    #[test]
    fn vectors_are_written_as_numbers_and_as_bytes() {
        let embeddings = Embeddings {
            vectors: vec![vec![0.1, -2.0]],
            tokens: 3,
        };
        let written = |format| answer(&embeddings, format)["data"][0]["embedding"].to_string();
        assert_eq!(written(Format::Float), "[0.1,-2.0]");
        assert_eq!(written(Format::Base64), "\"zczMPQAAAMA=\"");
    }
}
