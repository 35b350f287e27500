use serde_json::{Value, json};

use super::{ResponseEvents, chat_request, response};
use crate::conversion::{Narrator as _, golden};
use crate::error::{ErrorBody, GatewayError};
use crate::types::{ChatChunk, ChatCompletion};

#[test]
fn requests_become_chats() {
    golden::check("responses/requests", |given| {
        match chat_request(given.as_object().expect("an object").clone()) {
            Ok(request) => {
                json!({"chat": request.chat.body.fields(), "messages": request.names.messages})
            }
            Err(error) => json!(ErrorBody::from(&error)),
        }
    });
}

#[test]
fn completions_become_responses() {
    golden::check("responses/answers", |given| {
        let request = chat_request(given["request"].as_object().expect("an object").clone())
            .expect("a valid request");
        let completion: ChatCompletion =
            serde_json::from_value(given["completion"].clone()).expect("a completion");
        let mut found = match response(&completion, &request.echo) {
            Ok(response) => response,
            Err(error) => json!(ErrorBody::from(&error)),
        };
        golden::settle(&mut found);
        found
    });
}

#[test]
fn chunks_become_events() {
    golden::check("responses/streams", |given| {
        let mut narrator = ResponseEvents::new(serde_json::Map::new());
        let mut events = Vec::new();
        for chunk in given["chunks"].as_array().expect("a list") {
            let chunk: ChatChunk = serde_json::from_value(chunk.clone()).expect("a chunk");
            events.extend(narrator.piece(&chunk).expect("it makes sense"));
        }
        if given["is_cut"] == true {
            let model = "near".to_owned();
            events.extend(narrator.error(&GatewayError::UpstreamInterrupted { model }));
        } else {
            events.extend(narrator.end());
        }
        let numbers: Vec<_> = events
            .iter()
            .map(|event| event.data["sequence_number"].as_u64())
            .collect();
        let expected: Vec<_> = (0..events.len() as u64).map(Some).collect();
        assert_eq!(numbers, expected);
        let mut told: Value = events.into_iter().map(|event| event.data).collect();
        golden::settle(&mut told);
        told
    });
}

#[test]
fn a_call_that_is_gone_on_with_after_another_ends_the_answer() {
    let mut narrator = ResponseEvents::new(serde_json::Map::new());
    let call = |index: u64| -> ChatChunk {
        let call = json!({"index": index, "id": "t", "function": {"name": "f", "arguments": "{"}});
        serde_json::from_value(json!({"choices": [{"delta": {"tool_calls": [call]}}]}))
            .expect("a chunk")
    };
    narrator.piece(&call(0)).expect("the first");
    narrator.piece(&call(1)).expect("the second");
    let error = narrator.piece(&call(0)).expect_err("the first again");
    assert!(matches!(error, GatewayError::UpstreamMalformed { .. }));
}
