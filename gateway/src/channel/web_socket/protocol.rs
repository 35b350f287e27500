//! The frames of the protocol, version 1; docs/channels.md describes it for its users. Pure.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::ErrorDetail;

/// The version that `ready` announces.
pub(super) const VERSION: u32 = 1;
/// Ids are echoed with every frame, so they are kept short.
const MAX_ID_BYTES: usize = 128;

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ClientFrame {
    /// Ask.
    Message(Ask),
    /// Stop the answer to this message.
    Cancel { id: String },
    /// Forget the conversation.
    Reset,
    /// Answer with a pong.
    Ping,
}

/// A message to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    /// Chosen by the client.
    pub(super) id: String,
    /// What it says.
    pub(super) text: String,
}

/// What the gateway says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ServerFrame {
    /// The first frame.
    Ready { channel: String, protocol: u32 },
    /// The model is being asked.
    Started { id: String },
    /// The next piece of the answer.
    Delta { id: String, text: String },
    /// The whole answer; the last frame about this message.
    Done(Done),
    /// Something went wrong; with an id, the last frame about that message.
    Error {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        error: ErrorDetail,
    },
    /// The answer to a ping.
    Pong,
}

/// The end of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Done {
    pub(super) id: String,
    pub(super) text: String,
    /// Who answered; unknown when it was cancelled.
    pub(super) model: Option<String>,
    /// `stop`, `length`, … or `cancelled`.
    pub(super) finish_reason: String,
    /// Unknown when it was cancelled.
    pub(super) usage: Option<Usage>,
}

/// Tokens as the model counted them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(
    clippy::struct_field_names,
    reason = "the names on the wire, as in the API"
)]
pub(super) struct Usage {
    pub(super) prompt_tokens: u64,
    pub(super) completion_tokens: u64,
    pub(super) total_tokens: u64,
}

/// A frame that makes no sense; the connection stays usable.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invalid {
    /// The id in the frame, where it can be read.
    pub(super) id: Option<String>,
    pub(super) error: ErrorDetail,
}

impl ClientFrame {
    /// Read a text frame. Unknown fields are ignored, unknown types are not.
    pub(super) fn parse(text: &str) -> Result<Self, Invalid> {
        let value: Value = serde_json::from_str(text)
            .map_err(|error| invalid(None, None, format!("the frame is not JSON: {error}")))?;
        let Value::Object(frame) = value else {
            return Err(invalid(
                None,
                None,
                "the frame is not a JSON object".to_owned(),
            ));
        };
        Self::read(&frame).map_err(|(param, message)| {
            let id = frame
                .get("id")
                .and_then(Value::as_str)
                .filter(|id| is_valid_id(id));
            invalid(id, Some(param), message)
        })
    }

    fn read(frame: &Map<String, Value>) -> Result<Self, (&'static str, String)> {
        match string(frame, "type")? {
            "message" => {
                let (id, text) = (id(frame)?, string(frame, "text")?);
                if text.trim().is_empty() {
                    return Err(("text", "text is empty: write something".to_owned()));
                }
                Ok(Self::Message(Ask {
                    id,
                    text: text.to_owned(),
                }))
            }
            "cancel" => Ok(Self::Cancel { id: id(frame)? }),
            "reset" => Ok(Self::Reset),
            "ping" => Ok(Self::Ping),
            other => {
                let shown: String = other.chars().take(40).collect();
                Err((
                    "type",
                    format!("type {shown:?} is not one of message, cancel, reset, ping"),
                ))
            }
        }
    }
}

/// An error that is the client's, with a code for its program.
pub(super) fn client_error(code: &str, param: Option<&str>, message: String) -> ErrorDetail {
    ErrorDetail {
        message,
        kind: "invalid_request_error".to_owned(),
        param: param.map(str::to_owned),
        code: Some(code.to_owned()),
    }
}

fn invalid(id: Option<&str>, param: Option<&str>, message: String) -> Invalid {
    Invalid {
        id: id.map(str::to_owned),
        error: client_error("invalid_frame", param, message),
    }
}

fn string<'a>(
    frame: &'a Map<String, Value>,
    field: &'static str,
) -> Result<&'a str, (&'static str, String)> {
    let value = frame
        .get(field)
        .ok_or_else(|| (field, format!("{field} is missing")))?;
    value
        .as_str()
        .ok_or_else(|| (field, format!("{field} is not a string")))
}

fn id(frame: &Map<String, Value>) -> Result<String, (&'static str, String)> {
    let id = string(frame, "id")?;
    if is_valid_id(id) {
        return Ok(id.to_owned());
    }
    Err((
        "id",
        format!("id is {} bytes long: give 1 to {MAX_ID_BYTES}", id.len()),
    ))
}

fn is_valid_id(id: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&id.len())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case(r#"{"type":"message","id":"1","text":"hi"}"#, ClientFrame::Message(Ask { id: "1".into(), text: "hi".into() }))]
    #[case(r#"{"type":"cancel","id":"1"}"#, ClientFrame::Cancel { id: "1".into() })]
    #[case(r#"{"type":"reset"}"#, ClientFrame::Reset)]
    #[case(r#"{"type":"ping","since":"v2"}"#, ClientFrame::Ping)]
    fn frames_are_read(#[case] text: &str, #[case] expected: ClientFrame) {
        assert_eq!(ClientFrame::parse(text), Ok(expected));
    }

    #[rstest]
    #[case::not_json("{", None, None, "not JSON")]
    #[case::not_an_object("[]", None, None, "not a JSON object")]
    #[case::no_type("{}", None, Some("type"), "type is missing")]
    #[case::unknown_type(
        r#"{"type":"dance","id":"7"}"#,
        Some("7"),
        Some("type"),
        "\"dance\" is not one of"
    )]
    #[case::type_of_another_type(r#"{"type":3}"#, None, Some("type"), "not a string")]
    #[case::no_id(r#"{"type":"message","text":"x"}"#, None, Some("id"), "id is missing")]
    #[case::empty_id(r#"{"type":"cancel","id":""}"#, None, Some("id"), "0 bytes long")]
    #[case::no_text(
        r#"{"type":"message","id":"7"}"#,
        Some("7"),
        Some("text"),
        "text is missing"
    )]
    #[case::blank_text(
        r#"{"type":"message","id":"7","text":" \n"}"#,
        Some("7"),
        Some("text"),
        "empty"
    )]
    fn what_is_wrong_is_named(
        #[case] text: &str,
        #[case] id: Option<&str>,
        #[case] param: Option<&str>,
        #[case] message: &str,
    ) {
        let Invalid { id: found, error } = ClientFrame::parse(text).expect_err("invalid");
        assert_eq!((found.as_deref(), error.param.as_deref()), (id, param));
        assert_eq!(error.code.as_deref(), Some("invalid_frame"));
        assert!(error.message.contains(message), "{}", error.message);
    }

    #[test]
    fn a_long_id_or_type_is_not_repeated() {
        let long = "x".repeat(129);
        let by_id = ClientFrame::parse(&json!({"type": "cancel", "id": long}).to_string())
            .expect_err("too long");
        let by_type = ClientFrame::parse(&json!({"type": long}).to_string()).expect_err("unknown");
        assert!(by_id.id.is_none() && by_id.error.message.len() < 60);
        assert!(by_type.error.message.len() < 120);
    }

    #[rstest]
    #[case(ServerFrame::Ready { channel: "desk".into(), protocol: 1 }, json!({"type": "ready", "channel": "desk", "protocol": 1}))]
    #[case(ServerFrame::Started { id: "1".into() }, json!({"type": "started", "id": "1"}))]
    #[case(ServerFrame::Delta { id: "1".into(), text: "é".into() }, json!({"type": "delta", "id": "1", "text": "é"}))]
    #[case(ServerFrame::Pong, json!({"type": "pong"}))]
    #[case(
        ServerFrame::Error { id: None, error: client_error("invalid_frame", None, "no".into()) },
        json!({"type": "error", "error":
            {"message": "no", "type": "invalid_request_error", "param": null, "code": "invalid_frame"}})
    )]
    #[case(
        ServerFrame::Done(Done {
            id: "1".into(), text: "hi".into(), model: Some("tiny".into()), finish_reason: "stop".into(),
            usage: Some(Usage { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 }),
        }),
        json!({"type": "done", "id": "1", "text": "hi", "model": "tiny", "finish_reason": "stop",
               "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}})
    )]
    fn frames_look_as_documented(#[case] frame: ServerFrame, #[case] expected: Value) {
        assert_eq!(serde_json::to_value(frame).expect("serializes"), expected);
    }
}
