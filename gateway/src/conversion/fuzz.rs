//! Any body that a client may send, through all that is made of it before a model is asked.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::messages::Demand;
use super::{Target, anthropic, engine_request, gemini, messages, parts, responses, upstream_body};
use crate::error::GatewayError;
use crate::fuzz_corpus;
use crate::limits::Estimate;
use crate::types::{ChatRequest, Task, parse_object};

const TASKS: [Task; 4] = [Task::Chat, Task::Complete, Task::Embed, Task::Rerank];

/// Whatever is wrong is the client's to mend.
fn checked<T>(outcome: Result<T, GatewayError>) -> Option<T> {
    match outcome {
        Ok(value) => Some(value),
        Err(error) => {
            assert!(error.status().is_client_error(), "{error}");
            None
        }
    }
}

fn ask(request: &ChatRequest) {
    let target = |provider| Target {
        name: "far",
        model: "far-1",
        provider,
    };
    checked(anthropic::request(request, &target("Anthropic")));
    checked(gemini::request(request, &target("Gemini")));
    passed_on(request);
    for part in checked(parts(request, "near")).into_iter().flatten() {
        checked(engine_request(&part.request, "near"));
    }
    let _ = Estimate::of(request);
}

/// What an API reads.
fn passed_on(request: &ChatRequest) -> Map<String, Value> {
    parse_object(&upstream_body(request, "far-1")).expect("JSON")
}

fn read(bytes: &[u8]) {
    let Some(body) = checked(parse_object(&Bytes::copy_from_slice(bytes))) else {
        return;
    };
    if let Ok(request) = ChatRequest::parse(&Bytes::copy_from_slice(bytes)) {
        let read = ChatRequest::from_object(body.clone()).expect("the same");
        assert_eq!(request, read);
        assert_eq!(passed_on(&request), passed_on(&read));
    }
    for task in TASKS {
        if let Some(request) = checked(ChatRequest::of_task(task, body.clone())) {
            ask(&request);
        }
    }
    for demand in [Demand::Answer, Demand::Count] {
        if let Some(request) = checked(messages::chat_request(body.clone(), demand)) {
            ask(&request.chat);
        }
    }
    if let Some(request) = checked(responses::chat_request(body)) {
        ask(&request.chat);
    }
}

#[test]
fn bodies() {
    bolero::check!(name = "bodies").for_each(read);
    fuzz_corpus::damage("conversion/__fuzz__/bodies", read);
}
