//! What golden files of providers hold: requests, whole answers and streams, without what differs from run to run.

use serde_json::{Value, json};

use super::{Fault, Piece, Target};
use crate::error::{ErrorBody, GatewayError};
use crate::types::{ChatCompletion, ChatRequest};

/// The body that an API gets, or why it gets none.
pub(super) fn request(
    input: &Value,
    target: Target<'_>,
    convert: impl Fn(&ChatRequest, &Target<'_>) -> Result<serde_json::Map<String, Value>, GatewayError>,
) -> Value {
    let body = input.as_object().expect("an object").clone();
    let request = ChatRequest::from_object(body).expect("valid");
    match convert(&request, &target) {
        Ok(body) => body.into(),
        Err(error) => json!(ErrorBody::from(&error)),
    }
}

/// A completion without what differs from run to run.
pub(super) fn completion(
    input: &Value,
    convert: impl Fn(&[u8]) -> Result<ChatCompletion, Fault>,
) -> Value {
    match convert(input.to_string().as_bytes()) {
        Ok(completion) => timeless(json!(completion)),
        Err(fault) => told(&fault),
    }
}

/// The pieces of a stream without what differs from run to run.
pub(super) fn pieces(input: &Value, mut take: impl FnMut(&[u8]) -> Result<Piece, Fault>) -> Value {
    let events = input.as_array().expect("a list of events");
    let mut pieces = Vec::new();
    for event in events {
        // What is no JSON stands as text.
        let event = event
            .as_str()
            .map_or_else(|| event.to_string(), str::to_owned);
        match take(event.as_bytes()) {
            Ok(Piece::Chunk(chunk)) => pieces.push(timeless(json!(chunk))),
            Ok(Piece::Nothing) => {}
            Ok(Piece::End) => pieces.push(json!("the end")),
            Err(fault) => pieces.push(told(&fault)),
        }
    }
    pieces.into()
}

/// The shortest chat, with one more field or another value of one.
pub(super) fn chat_with(field: &str, value: Value) -> ChatRequest {
    let mut body = json!({"messages": [{"role": "user", "content": "hi"}]});
    body[field] = value;
    let body = body.as_object().expect("an object").clone();
    ChatRequest::from_object(body).expect("valid")
}

fn timeless(mut value: Value) -> Value {
    if let Some(object) = value.as_object_mut() {
        object.remove("created");
    }
    value
}

fn told(fault: &Fault) -> Value {
    match fault {
        Fault::Malformed(what) => json!({"malformed": what}),
        Fault::Reported { status, detail } => {
            json!({"status": status.as_u16(), "detail": detail})
        }
    }
}
