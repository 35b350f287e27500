//! The form of an answer, in the words of OpenAI's API and of vLLM's.

use serde_json::{Map, Value};

use super::{first_unknown, unsupported};
use crate::conversion::chat::demands::{self, Format};
use crate::error::GatewayError;
use crate::models::AnswerFormat;
use crate::types::fields;

/// Fields that say it.
const FIELDS: [&str; 5] = [
    "response_format",
    "structured_outputs",
    "guided_json",
    "guided_regex",
    "guided_choice",
];
/// Members of vLLM's `structured_outputs` that the engine has.
const MEMBERS: [&str; 4] = ["json", "json_object", "regex", "choice"];

/// The field in which a request says what its answer is to look like, for errors about it.
pub fn field(body: &Map<String, Value>) -> &'static str {
    let mut said = FIELDS.into_iter();
    said.find(|field| says_form(body, field))
        .unwrap_or(FIELDS[0])
}

fn says_form(body: &Map<String, Value>, field: &str) -> bool {
    let is_text = |value: &Value| value.get("type").is_some_and(|kind| kind == "text");
    fields::present(body, field).is_some_and(|value| !is_text(value))
}

pub(super) fn format(
    body: &Map<String, Value>,
    model: &str,
) -> Result<Option<AnswerFormat>, GatewayError> {
    let mut said = FIELDS.into_iter().filter(|field| says_form(body, field));
    let Some(field) = said.next() else {
        return Ok(None);
    };
    if let Some(other) = said.next() {
        return Err(GatewayError::invalid(
            other,
            format!(
                "`{other}` is there beside `{field}`, but an answer has one form: leave one of them out"
            ),
        ));
    }
    let value = &body[field];
    match field {
        "response_format" => response_format(value),
        "structured_outputs" => structured_outputs(value, model).map(Some),
        "guided_json" => schema(field, value).map(Some),
        "guided_regex" => regex(field, value).map(Some),
        _ => choice(field, value).map(Some),
    }
}

fn response_format(value: &Value) -> Result<Option<AnswerFormat>, GatewayError> {
    Ok(match demands::format(value)? {
        Format::Text => None,
        Format::JsonObject => Some(AnswerFormat::JsonObject),
        Format::JsonSchema(schema) => Some(AnswerFormat::JsonSchema(schema.clone())),
    })
}

fn structured_outputs(value: &Value, model: &str) -> Result<AnswerFormat, GatewayError> {
    let at = "structured_outputs";
    let wrong = |what: &str| GatewayError::invalid(at, format!("`{at}` {what}"));
    let members = value
        .as_object()
        .ok_or_else(|| wrong("must be an object"))?;
    if let Some(member) = first_unknown(members, &MEMBERS) {
        return Err(unsupported(model, format!("{at}.{member}")));
    }
    let is_said = |member: &&str| {
        fields::present(members, member).is_some_and(|value| *value != Value::Bool(false))
    };
    let said: Vec<_> = MEMBERS
        .into_iter()
        .filter(|member| is_said(member))
        .collect();
    let [member] = said.as_slice() else {
        return Err(wrong(
            "must have exactly one of json, json_object, regex and choice",
        ));
    };
    let (place, value) = (format!("{at}.{member}"), &members[*member]);
    match *member {
        "json" => schema(&place, value),
        "regex" => regex(&place, value),
        "choice" => choice(&place, value),
        _ if *value == Value::Bool(true) => Ok(AnswerFormat::JsonObject),
        _ => Err(wrong(".json_object must be true or false")),
    }
}

/// An object, or one in a text, as vLLM takes both.
fn schema(at: &str, value: &Value) -> Result<AnswerFormat, GatewayError> {
    let read = match value {
        Value::String(text) => serde_json::from_str(text).ok(),
        other => Some(other.clone()),
    };
    let schema = read.filter(Value::is_object);
    schema
        .map(AnswerFormat::JsonSchema)
        .ok_or_else(|| wrong(at, value, "a JSON schema"))
}

fn regex(at: &str, value: &Value) -> Result<AnswerFormat, GatewayError> {
    let text = value.as_str();
    text.map(|text| AnswerFormat::Regex(text.to_owned()))
        .ok_or_else(|| wrong(at, value, "a regular expression"))
}

fn choice(at: &str, value: &Value) -> Result<AnswerFormat, GatewayError> {
    let texts = value.as_array().and_then(|items| {
        let texts = items.iter().map(|item| item.as_str().map(str::to_owned));
        texts.collect::<Option<Vec<_>>>()
    });
    texts
        .map(AnswerFormat::Choice)
        .ok_or_else(|| wrong(at, value, "a list of texts"))
}

fn wrong(at: &str, value: &Value, expected: &str) -> GatewayError {
    let found = fields::quoted(value);
    GatewayError::invalid(at, format!("`{at}` is {found}, but must be {expected}"))
}
