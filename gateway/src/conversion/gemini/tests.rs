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
    model: "gemini-far",
    provider: "Gemini",
};

#[test]
fn requests_are_told_in_geminis_words() {
    golden::check("gemini/golden/requests", |input| {
        provider_golden::request(input, TARGET, request)
    });
}

#[test]
fn answers_are_told_in_openais_words() {
    golden::check("gemini/golden/answers", |input| {
        provider_golden::completion(input, completion)
    });
}

#[test]
fn streams_are_told_in_openais_words() {
    golden::check("gemini/golden/streams", |input| {
        let mut events = Events::default();
        provider_golden::pieces(input, |event| events.take(event))
    });
}

#[rstest]
#[case("generationConfig", json!([]), "generationConfig")]
#[case("tool_choice", json!("required"), "tool_choice")]
#[case("response_format", json!({"type": "xml"}), "response_format")]
#[case("messages", json!([{"role": "system", "content": "be kind"}]), "messages")]
#[case("messages", json!([{"role": "tool", "tool_call_id": "gone", "content": "1"}]), "messages[0].tool_call_id")]
#[case(
    "messages",
    json!([{"role": "user", "content": [{"type": "file", "file": {"file_data": "QUJD"}}]}]),
    "messages[0].content[0].file.file_data"
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

#[rstest]
#[case("seed", json!(5_000_000_000_u64), "seed")]
#[case("logit_bias", json!({"50256": -100}), "logit_bias")]
#[case("reasoning_effort", json!("xhigh"), "reasoning_effort")]
#[case("modalities", json!(["audio"]), "modalities")]
#[case("store", json!(true), "store")]
#[case("service_tier", json!("priority"), "service_tier")]
#[case("functions", json!([{"name": "f"}]), "functions")]
#[case("tools", json!([{"type": "custom", "custom": {"name": "f"}}]), "tools[0].custom")]
#[case("tools", json!([{"type": "web_search"}]), "tools[0].type")]
#[case("messages", json!([{"role": "user", "name": "kim", "content": "1"}]), "messages[0].name")]
#[case(
    "messages",
    json!([{"role": "user", "content": [{"type": "document", "source": {}}]}]),
    "messages[0].content[0].type"
)]
fn what_gemini_cannot_do_is_refused_by_name(
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
}

#[test]
fn tools_are_called_one_at_a_time_only_where_the_model_wants_to() {
    let mut chat = chat_with("parallel_tool_calls", json!(false));
    let tool = json!([{"type": "function", "function": {"name": "f"}}]);
    assert!(
        request(&chat, &TARGET).is_ok(),
        "without tools, it asks for nothing"
    );
    chat.body.fields_mut().insert("tools".into(), tool);
    let error = request(&chat, &TARGET).expect_err("refused");
    assert!(error.to_string().contains("parallel_tool_calls"), "{error}");
}

#[test]
fn a_call_of_another_model_is_marked_for_gemini_3() {
    let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let chat = chat_with(
        "messages",
        json!([{"role": "assistant", "tool_calls": [call]}]),
    );
    let newest = Target {
        model: "gemini-3-pro-preview",
        ..TARGET
    };
    let part = |target: &Target<'_>| {
        let body = request(&chat, target).expect("converts");
        body["contents"][0]["parts"][0]["thoughtSignature"].clone()
    };
    assert_eq!(part(&newest), "skip_thought_signature_validator");
    assert_eq!(part(&TARGET), Value::Null);
}

#[rstest]
#[case::wrong_key(400, json!({"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT",
    "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]}}), 401, None)]
#[case::quota(429, json!({"error": {"code": 429, "message": "Quota exceeded", "status": "RESOURCE_EXHAUSTED",
    "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}]}}), 429, Some(34.5))]
#[case::plain(404, json!({"error": {"code": 404, "message": "not found", "status": "NOT_FOUND"}}), 404, None)]
#[case::no_json(400, json!("oops"), 400, None)]
#[case::endless(429, json!({"error": {"code": 429, "details": [{"retryDelay": "-1s"}]}}), 429, None)]
fn a_refusal_says_what_it_is_about(
    #[case] status: u16,
    #[case] body: Value,
    #[case] expected: u16,
    #[case] retry_after: Option<f64>,
) {
    let status = http::StatusCode::from_u16(status).expect("a status");
    let failure = failure(status, body.to_string().as_bytes());
    assert_eq!(failure.status.as_u16(), expected);
    let told = failure.retry_after.map(|delay| delay.as_secs_f64());
    assert_eq!(told, retry_after);
}

proptest! {
    #[test]
    fn any_valid_request_is_converted_or_refused(request in any_request()) {
        match super::request(&request, &TARGET) {
            Ok(body) => {
                let contents = body["contents"].as_array().expect("a list");
                prop_assert!(!contents.is_empty());
                for pair in contents.windows(2) {
                    prop_assert_ne!(&pair[0]["role"], &pair[1]["role"]);
                }
            }
            Err(error) => prop_assert_eq!(error.status().as_u16(), 400),
        }
    }

    #[test]
    fn no_answer_makes_it_panic(parts in any_json(), reason in any_json()) {
        let candidate = json!({"content": {"parts": parts}, "finishReason": reason});
        let bytes = json!({"candidates": [candidate]}).to_string().into_bytes();
        let _ = completion(&bytes);
        let _ = Events::default().take(&bytes);
    }
}
