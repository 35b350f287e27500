use serde_json::{Value, json};

use super::{Demand, MessageEvents, chat_request, message};
use crate::conversion::{Narrator as _, golden};
use crate::error::{AnthropicErrorBody, GatewayError};
use crate::types::{ChatChunk, ChatCompletion, Usage};

fn translate(body: &Value) -> Result<super::MessagesRequest, GatewayError> {
    chat_request(body.as_object().expect("an object").clone(), Demand::Answer)
}

fn texts(value: &Value) -> Vec<String> {
    serde_json::from_value(value.clone()).expect("a list of texts")
}

#[test]
fn requests_become_chats() {
    golden::check("messages/requests", |given| match translate(given) {
        Ok(request) => {
            json!({"chat": request.chat.body.fields(), "messages": request.names.messages})
        }
        Err(error) => json!(AnthropicErrorBody::from(&error)),
    });
}

#[test]
fn completions_become_messages() {
    golden::check("messages/answers", |given| {
        let completion: ChatCompletion =
            serde_json::from_value(given["completion"].clone()).expect("a completion");
        let mut found = match message(&completion, &texts(&given["stop_sequences"])) {
            Ok(message) => json!(message),
            Err(error) => json!(AnthropicErrorBody::from(&error)),
        };
        golden::settle(&mut found);
        found
    });
}

#[test]
fn chunks_become_events() {
    golden::check("messages/streams", |given| {
        let mut narrator =
            MessageEvents::new(texts(&given["stop_sequences"]), Usage::estimate(40, 0));
        let mut events = Vec::new();
        for chunk in given["chunks"].as_array().expect("a list") {
            let chunk: ChatChunk = serde_json::from_value(chunk.clone()).expect("a chunk");
            match narrator.piece(&chunk) {
                Ok(more) => events.extend(more),
                Err(error) => {
                    events.extend(narrator.error(&error));
                    return told(events);
                }
            }
        }
        if given["is_cut"] == true {
            let model = "near".to_owned();
            events.extend(narrator.error(&GatewayError::UpstreamInterrupted { model }));
        } else {
            events.extend(narrator.end());
        }
        told(events)
    });
}

fn told(events: Vec<crate::conversion::NamedEvent>) -> Value {
    let mut told: Value = events.into_iter().map(|event| event.data).collect();
    golden::settle(&mut told);
    told
}

#[test]
fn a_count_needs_no_length() {
    let body = json!({"messages": [{"role": "user", "content": "hi"}]});
    let object = body.as_object().expect("an object");
    assert!(chat_request(object.clone(), Demand::Count).is_ok());
    let error = chat_request(object.clone(), Demand::Answer).expect_err("too little");
    assert!(
        error.to_string().contains("`max_tokens` is missing"),
        "{error}"
    );
}
