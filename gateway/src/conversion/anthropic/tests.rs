use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::conversion::chat::arbitrary::{any_json, any_request};
use crate::conversion::provider_golden::chat_with;
use crate::conversion::{Target, golden, provider_golden};
use crate::error::GatewayError;

const TARGET: Target<'static> = Target {
    name: "near",
    model: "claude-far",
    provider: "Anthropic",
};

#[test]
fn requests_are_told_in_anthropics_words() {
    golden::check("anthropic/golden/requests", |input| {
        provider_golden::request(input, TARGET, request)
    });
}

#[test]
fn answers_are_told_in_openais_words() {
    golden::check("anthropic/golden/answers", |input| {
        provider_golden::completion(input, completion)
    });
}

#[test]
fn streams_are_told_in_openais_words() {
    golden::check("anthropic/golden/streams", |input| {
        let mut events = Events::default();
        provider_golden::pieces(input, |event| events.take(event))
    });
}

#[rstest]
#[case("temperature", json!(1.01), "temperature")]
#[case("n", json!(2), "n")]
#[case("seed", json!(7), "seed")]
#[case("logprobs", json!(true), "logprobs")]
#[case("top_logprobs", json!(3), "top_logprobs")]
#[case("logit_bias", json!({"50256": -100}), "logit_bias")]
#[case("frequency_penalty", json!(0.1), "frequency_penalty")]
#[case("presence_penalty", json!(-1), "presence_penalty")]
#[case("response_format", json!({"type": "json_object"}), "response_format.type")]
#[case("modalities", json!(["text", "audio"]), "modalities")]
#[case("store", json!(true), "store")]
#[case("verbosity", json!("low"), "verbosity")]
#[case("service_tier", json!("flex"), "service_tier")]
#[case("prediction", json!({"type": "content", "content": "x"}), "prediction")]
#[case("functions", json!([{"name": "f"}]), "functions")]
#[case("web_search_options", json!({}), "web_search_options")]
#[case("tools", json!([{"type": "custom", "custom": {"name": "f"}}]), "tools[0].custom")]
#[case("tool_choice", json!({"type": "allowed_tools"}), "tool_choice")]
#[case("messages", json!([{"role": "function", "name": "f", "content": "1"}]), "messages[0].role")]
#[case("messages", json!([{"role": "user", "name": "kim", "content": "1"}]), "messages[0].name")]
#[case(
    "messages",
    json!([{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}}]}]),
    "messages[0].content[0].input_audio"
)]
#[case(
    "messages",
    json!([{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]),
    "messages[0].content[0].file.file_id"
)]
fn what_anthropic_cannot_do_is_refused_by_name(
    #[case] field: &str,
    #[case] value: Value,
    #[case] expected: &str,
) {
    let error = request(&chat_with(field, value), &TARGET).expect_err("refused");
    let GatewayError::UnsupportedByProvider { field, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(field, expected);
    assert_eq!(error.status(), 400);
    assert!(
        error.to_string().contains("which Anthropic runs"),
        "{error}"
    );
}

#[rstest]
#[case("tool_choice", json!("required"), "tool_choice")]
#[case("parallel_tool_calls", json!("no"), "parallel_tool_calls")]
#[case("reasoning_effort", json!("utmost"), "reasoning_effort")]
#[case("response_format", json!({"type": "json_schema"}), "response_format.json_schema.schema")]
#[case("messages", json!([{"role": "system", "content": "be kind"}]), "messages")]
#[case(
    "messages",
    json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "ftp://host/x"}}]}]),
    "messages[0].content[0].image_url.url"
)]
#[case(
    "messages",
    json!([{"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{"}}]}]),
    "messages[0].tool_calls[0].function.arguments"
)]
fn what_makes_no_sense_is_refused_with_its_place(
    #[case] field: &str,
    #[case] value: Value,
    #[case] expected: &str,
) {
    let error = request(&chat_with(field, value), &TARGET).expect_err("refused");
    let GatewayError::InvalidRequest { param, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(param.as_deref(), Some(expected), "{error}");
}

proptest! {
    #[test]
    fn any_valid_request_is_converted_or_refused(request in any_request()) {
        match super::request(&request, &TARGET) {
            Ok(body) => {
                prop_assert!(body["max_tokens"].is_u64());
                let messages = body["messages"].as_array().expect("a list");
                prop_assert!(!messages.is_empty());
                for pair in messages.windows(2) {
                    prop_assert_ne!(&pair[0]["role"], &pair[1]["role"]);
                }
            }
            Err(error) => prop_assert_eq!(error.status().as_u16(), 400),
        }
    }

    #[test]
    fn no_answer_makes_it_panic(mut body in any_json(), kind in "(message_start|content_block_(start|delta|stop)|message_delta|error|ping)") {
        if let Some(object) = body.as_object_mut() {
            object.insert("type".into(), kind.into());
        }
        let bytes = body.to_string().into_bytes();
        let _ = completion(&bytes);
        let _ = Events::default().take(&bytes);
    }
}
