//! A chat completion request: known fields typed and checked, the rest kept as it came.
//!
//! What a particular model can honour is decided in `conversion`.

mod sent;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::{RequestBody, Task, fields, parse_object};
use crate::error::GatewayError;

/// Most texts of `stop`.
const MOST_STOPS: usize = 4;
/// The roles of OpenAI's API.
const ROLES: [&str; 6] = [
    "system",
    "developer",
    "user",
    "assistant",
    "tool",
    "function",
];

/// A checked request.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatRequest {
    /// What is asked for.
    pub task: Task,
    /// The whole body as sent, for models that take more than we know.
    pub body: RequestBody,
    /// The model asked for.
    pub model: Option<String>,
    /// The conversation: never empty in a chat, and always where something else is asked for.
    pub messages: Vec<Message>,
    /// Whether the answer comes in pieces.
    pub stream: bool,
    /// Whether a stream ends with its usage.
    pub include_usage: bool,
    /// How many answers.
    pub choices: u32,
    /// How many are made, of which the best are given.
    pub best_of: Option<u64>,
    /// Most tokens of the answer.
    pub max_tokens: Option<u32>,
    /// From 0 to 2.
    pub temperature: Option<f64>,
    /// From 0 to 1.
    pub top_p: Option<f64>,
    /// Only so many of the likeliest tokens: no field of OpenAI's, but one of many APIs. 0 means all.
    pub top_k: Option<u32>,
    /// For repeatable answers.
    pub seed: Option<u64>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
}

/// One message.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// One of OpenAI's roles.
    pub role: &'static str,
    /// What was said.
    pub content: Content,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Text; parts are joined.
    Text(String),
    /// Something else than text: the type of the part.
    Other(String),
    /// Nothing (an assistant that only called tools).
    Absent,
}

impl ChatRequest {
    /// Read and check a body.
    pub fn parse(bytes: &Bytes) -> Result<Self, GatewayError> {
        match sent::read(bytes) {
            Some(chat) => Ok(chat),
            None => Self::from_object(parse_object(bytes)?),
        }
    }

    /// Check a chat.
    pub fn from_object(body: Map<String, Value>) -> Result<Self, GatewayError> {
        let messages = messages(&body)?;
        Ok(Self {
            messages,
            ..Self::read(Task::Chat, body)?
        })
    }

    /// Check what is no chat.
    pub fn of_task(task: Task, body: Map<String, Value>) -> Result<Self, GatewayError> {
        let needed: &[&str] = match task {
            Task::Chat | Task::Summarize => return Self::from_object(body),
            Task::Complete => &["prompt"],
            Task::Embed => &["input"],
            Task::Rerank => &["query", "documents"],
        };
        for field in needed {
            let is_empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
            if fields::present(&body, field).is_none_or(is_empty) {
                return Err(GatewayError::invalid(
                    field,
                    format!("`{field}` is missing or empty"),
                ));
            }
        }
        Self::read(task, body)
    }

    fn read(task: Task, body: Map<String, Value>) -> Result<Self, GatewayError> {
        // Vectors and rankings come as a whole.
        let stream = matches!(task, Task::Chat | Task::Summarize | Task::Complete)
            && fields::boolean(&body, "stream")?.unwrap_or(false);
        let max_completion_tokens = fields::count(&body, "max_completion_tokens")?;
        Ok(Self {
            task,
            choices: fields::count(&body, "n")?.unwrap_or(1),
            best_of: body.get("best_of").and_then(Value::as_u64),
            model: fields::string(&body, "model")?,
            messages: Vec::new(),
            stream,
            include_usage: include_usage(&body, stream)?,
            max_tokens: max_completion_tokens.or(fields::count(&body, "max_tokens")?),
            temperature: fields::number(&body, "temperature", (0.0, 2.0))?,
            top_p: fields::number(&body, "top_p", (0.0, 1.0))?,
            top_k: fields::whole(&body, "top_k")?,
            seed: fields::seed(&body)?,
            stop: fields::strings(&body, "stop", MOST_STOPS)?,
            body: body.into(),
        })
    }
}

fn include_usage(body: &Map<String, Value>, stream: bool) -> Result<bool, GatewayError> {
    match fields::present(body, "stream_options") {
        None => Ok(false),
        Some(Value::Object(_)) if !stream => Err(GatewayError::invalid(
            "stream_options",
            "`stream_options` is only allowed with `stream`: true",
        )),
        Some(Value::Object(options)) => {
            Ok(fields::boolean(options, "include_usage")?.unwrap_or(false))
        }
        Some(other) => Err(GatewayError::invalid(
            "stream_options",
            format!(
                "`stream_options` is {}, but must be an object",
                fields::quoted(other)
            ),
        )),
    }
}

fn messages(body: &Map<String, Value>) -> Result<Vec<Message>, GatewayError> {
    match fields::present(body, "messages") {
        Some(Value::Array(items)) if !items.is_empty() => items
            .iter()
            .enumerate()
            .map(|(index, item)| message(index, item))
            .collect(),
        Some(Value::Array(_)) | None => Err(GatewayError::invalid(
            "messages",
            "`messages` is missing or empty: send at least one message",
        )),
        Some(other) => Err(GatewayError::invalid(
            "messages",
            format!(
                "`messages` is {}, but must be a list",
                fields::quoted(other)
            ),
        )),
    }
}

fn message(index: usize, item: &Value) -> Result<Message, GatewayError> {
    // A place is put into words only where something is wrong there.
    let at = || format!("messages[{index}]");
    let Value::Object(object) = item else {
        let at = at();
        return Err(GatewayError::invalid(
            &at,
            format!("`{at}` must be an object with `role` and `content`"),
        ));
    };
    let role = object.get("role").and_then(Value::as_str);
    let Some(role) = ROLES.into_iter().find(|known| Some(*known) == role) else {
        let param = format!("{}.role", at());
        let found = object
            .get("role")
            .map_or_else(|| "missing".to_owned(), fields::quoted);
        return Err(GatewayError::invalid(
            &param,
            format!("`{param}` is {found}, but must be one of {ROLES:?}"),
        ));
    };
    let content = match object.get("tool_calls") {
        Some(Value::Array(calls)) if !calls.is_empty() => Content::Other("tool_calls".to_owned()),
        _ => content(|| format!("{}.content", at()), object.get("content"))?,
    };
    if content == Content::Absent && !matches!(role, "assistant" | "function") {
        let param = format!("{}.content", at());
        return Err(GatewayError::invalid(
            &param,
            format!("`{param}` is missing: say something"),
        ));
    }
    Ok(Message { role, content })
}

fn content(at: impl Fn() -> String, value: Option<&Value>) -> Result<Content, GatewayError> {
    match value {
        None | Some(Value::Null) => Ok(Content::Absent),
        Some(Value::String(text)) => Ok(Content::Text(text.clone())),
        Some(Value::Array(parts)) => parts.iter().enumerate().try_fold(
            Content::Text(String::new()),
            |so_far, (index, part)| {
                let at = || format!("{}[{index}]", at());
                Ok(join(so_far, self::part(at, part)?))
            },
        ),
        Some(other) => {
            let at = at();
            Err(GatewayError::invalid(
                &at,
                format!(
                    "`{at}` is {}, but must be a string or a list of parts",
                    fields::quoted(other)
                ),
            ))
        }
    }
}

/// One part that is no text makes the message one that is no text.
fn join(so_far: Content, next: Content) -> Content {
    match (so_far, next) {
        (Content::Text(mut text), Content::Text(more)) => {
            text.push_str(&more);
            Content::Text(text)
        }
        (Content::Text(_), other) | (other, _) => other,
    }
}

fn part(at: impl Fn() -> String, part: &Value) -> Result<Content, GatewayError> {
    let Some(kind) = part.get("type").and_then(Value::as_str) else {
        let at = at();
        return Err(GatewayError::invalid(
            &at,
            format!("`{at}` must be an object with a `type`"),
        ));
    };
    if kind != "text" {
        return Ok(Content::Other(kind.to_owned()));
    }
    if let Some(text) = part.get("text").and_then(Value::as_str) {
        return Ok(Content::Text(text.to_owned()));
    }
    let at = at();
    Err(GatewayError::invalid(
        &at,
        format!("`{at}.text` must be a string"),
    ))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn parse(body: &Value) -> Result<ChatRequest, GatewayError> {
        ChatRequest::parse(&Bytes::from(body.to_string()))
    }

    fn with(field: &str, value: Value) -> Value {
        let mut body = json!({"messages": [{"role": "user", "content": "hi"}]});
        body[field] = value;
        body
    }

    #[test]
    fn text_parts_are_joined_and_unknown_fields_kept() {
        let body = json!({
            "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
            "novel_field": {"deep": [1, 2.5]},
            "max_tokens": 3,
            "max_completion_tokens": 4,
            "stop": "x",
            "seed": -1,
        });
        let request = parse(&body).expect("valid");
        assert_eq!(
            request.messages,
            [Message {
                role: "user",
                content: Content::Text("ab".into())
            }]
        );
        assert_eq!(Value::Object(request.body.fields().clone()), body);
        assert_eq!(
            (request.max_tokens, request.seed),
            (Some(4), Some(u64::MAX))
        );
        assert_eq!(request.stop, ["x"]);
    }

    #[rstest]
    #[case("temperature", json!(2.1), "a number from 0 to 2")]
    #[case("temperature", json!("warm"), "\"warm\"")]
    #[case("top_p", json!(-0.1), "a number from 0 to 1")]
    #[case("max_tokens", json!(0), "at least 1")]
    #[case("max_completion_tokens", json!(1.5), "whole number")]
    #[case("stop", json!(["a", "b", "c", "d", "e"]), "at most 4")]
    #[case("stop", json!([1]), "strings")]
    #[case("seed", json!(0.5), "whole number")]
    #[case("stream", json!("yes"), "true or false")]
    #[case("stream_options", json!({"include_usage": true}), "only allowed")]
    #[case("model", json!(7), "a string")]
    #[case("messages", json!([]), "at least one message")]
    #[case("messages", json!("hi"), "must be a list")]
    fn a_wrong_value_is_answered_with_its_field(
        #[case] field: &str,
        #[case] value: Value,
        #[case] expected: &str,
    ) {
        let error = parse(&with(field, value)).expect_err("invalid");
        let GatewayError::InvalidRequest { message, param } = error else {
            panic!("{error}")
        };
        assert_eq!(param.as_deref(), Some(field));
        assert!(
            message.contains(expected) && message.contains(field),
            "{message}"
        );
    }

    #[rstest]
    #[case(json!({"role": "wizard", "content": "x"}), "messages[0].role")]
    #[case(json!({"content": "x"}), "messages[0].role")]
    #[case(json!({"role": "user"}), "messages[0].content")]
    #[case(json!({"role": "user", "content": 1}), "messages[0].content")]
    #[case(json!({"role": "user", "content": [{"text": "x"}]}), "messages[0].content[0]")]
    #[case(json!("hi"), "messages[0]")]
    fn a_wrong_message_is_answered_with_its_place(#[case] message: Value, #[case] expected: &str) {
        let error = parse(&with("messages", json!([message]))).expect_err("invalid");
        let GatewayError::InvalidRequest { param, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(param.as_deref(), Some(expected));
    }

    #[test]
    fn invalid_utf8_and_bad_json_are_answered_with_a_position() {
        let error = ChatRequest::parse(&Bytes::from_static(b"{\"model\": \"\xff\"}"))
            .expect_err("not UTF-8");
        assert!(error.to_string().contains("offset 11"), "{error}");
        let error =
            ChatRequest::parse(&Bytes::from_static(b"{\n\"model\": ?}")).expect_err("not JSON");
        assert!(error.to_string().contains("line 2 column 10"), "{error}");
        assert_eq!(error.status(), 400);
    }

    #[test]
    fn an_image_is_a_valid_part_that_is_no_text() {
        let parts = json!([{"type": "text", "text": "what is this"}, {"type": "image_url", "image_url": {"url": "x"}}]);
        let request = parse(&with(
            "messages",
            json!([{"role": "user", "content": parts}]),
        ))
        .expect("valid");
        assert_eq!(
            request.messages[0].content,
            Content::Other("image_url".into())
        );
    }
}
