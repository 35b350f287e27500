use rstest::rstest;
use serde_json::json;

use super::*;
use crate::models::{AnswerFormat, EngineMessage, ToolCall, ToolChoice};

fn request(field: &str, value: Value) -> ChatRequest {
    let mut body = json!({"messages": [{"role": "developer", "content": "be kind"}]});
    body[field] = value;
    let Value::Object(object) = body else {
        panic!("not an object")
    };
    ChatRequest::from_object(object).expect("valid")
}

/// All of a request.
fn told(request: &EngineRequest) -> String {
    format!("{request:?}")
}

fn convert(field: &str, value: Value) -> Result<EngineRequest, GatewayError> {
    engine_request(&request(field, value), "tiny")
}

#[rstest]
#[case("tools", json!([{"type": "custom"}]), "tools[0] of type custom")]
#[case("tools", json!([{"type": "function", "function": {"name": "f", "novel": 1}}]), "tools[0].function.novel")]
#[case("tool_choice", json!({"type": "allowed_tools"}), "tool_choice of type allowed_tools")]
#[case("structured_outputs", json!({"grammar": "x"}), "structured_outputs.grammar")]
#[case("functions", json!([{"name": "f"}]), "functions")]
#[case("novel_field", json!(0), "novel_field")]
#[case("messages", json!([{"role": "user", "content": "x", "name": "kim"}]), "messages[0].name")]
#[case("messages", json!([{"role": "function", "name": "f", "content": "x"}]), "messages[0].role function")]
#[case(
    "messages",
    json!([{"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}], "tool_calls": [{}]}]),
    "messages[0].content of type refusal"
)]
#[case(
    "messages",
    json!([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]),
    "messages[0].content of type image_url"
)]
fn what_the_engine_cannot_honour_is_refused_by_name(
    #[case] field: &str,
    #[case] value: Value,
    #[case] expected: &str,
) {
    let error = convert(field, value).expect_err("unsupported");
    let GatewayError::UnsupportedField { model, field } = error else {
        panic!("{error}")
    };
    assert_eq!((model.as_str(), field.as_str()), ("tiny", expected));
}

#[rstest]
#[case("n", json!(1))]
#[case("tools", json!([]))]
#[case("tool_choice", json!("none"))]
#[case("parallel_tool_calls", json!(true))]
#[case("messages", json!([{"role": "developer", "content": "be kind", "refusal": null, "annotations": []}]))]
#[case("response_format", json!({"type": "text"}))]
#[case("logprobs", json!(false))]
#[case("top_logprobs", json!(0))]
#[case("logit_bias", json!({}))]
#[case("user", json!("kim"))]
#[case("anything", json!(null))]
fn a_default_is_no_demand(#[case] field: &str, #[case] value: Value) {
    let request = convert(field, value).expect("supported");
    let expected = EngineRequest {
        messages: vec![EngineMessage::new("developer", "be kind")],
        tool_choice: request.tool_choice.clone(),
        cancellation: request.cancellation.clone(),
        ..EngineRequest::default()
    };
    assert_eq!(told(&request), told(&expected));
}

#[test]
fn how_tokens_are_chosen_reaches_the_engine() {
    let body = json!({
        "messages": [{"role": "user", "content": "x"}], "temperature": 0.5, "top_p": 0.25, "top_k": 7, "min_p": 0.125,
        "presence_penalty": -0.5, "frequency_penalty": 1.5, "repetition_penalty": 1.25, "logit_bias": {"50": -100, "7": 2.5},
        "logprobs": true, "top_logprobs": 3, "seed": 9, "stop": "x", "max_completion_tokens": 4,
    });
    let request = ChatRequest::parse(&body.to_string().into()).expect("valid");
    let request = engine_request(&request, "tiny").expect("supported");
    let expected = EngineRequest {
        messages: vec![EngineMessage::new("user", "x")],
        temperature: Some(0.5),
        top_p: Some(0.25),
        top_k: Some(7),
        min_p: Some(0.125),
        presence_penalty: Some(-0.5),
        frequency_penalty: Some(1.5),
        repetition_penalty: Some(1.25),
        logit_bias: vec![(50, -100.0), (7, 2.5)],
        log_probabilities: Some(3),
        seed: Some(9),
        stop: vec!["x".to_owned()],
        max_tokens: Some(4),
        ..EngineRequest::default()
    };
    assert_eq!(told(&request), told(&expected));
}

#[test]
fn tools_calls_and_results_reach_the_engine() {
    let schema = json!({"type": "object", "properties": {"b": {}, "a": {}}});
    let body = json!({
        "messages": [
            {"role": "assistant", "content": null, "refusal": null, "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"x\": 1}"}},
                {"id": "c2", "type": "function", "function": {"name": "f", "arguments": ""}},
            ]},
            {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "done"}]},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": schema, "strict": true}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": false,
    });
    let request = ChatRequest::parse(&body.to_string().into()).expect("valid");
    let request = engine_request(&request, "tiny").expect("supported");
    let call = |id: &str, arguments: Value| ToolCall {
        id: id.to_owned(),
        name: "f".to_owned(),
        arguments: arguments.as_object().expect("an object").clone(),
    };
    let [called, result] = request.messages.as_slice() else {
        panic!("{request:?}")
    };
    assert_eq!(
        called.tool_calls,
        [call("c1", json!({"x": 1})), call("c2", json!({}))]
    );
    assert_eq!(
        (result.content.as_str(), result.tool_call_id.as_deref()),
        ("done", Some("c1"))
    );
    assert_eq!(request.tools[0].parameters, Some(schema));
    assert!(request.tools[0].is_strict && request.single_tool_call);
    assert_eq!(request.tool_choice, ToolChoice::Named("f".to_owned()));
}

#[rstest]
#[case("response_format", json!({"type": "json_object"}), AnswerFormat::JsonObject)]
#[case(
    "response_format",
    json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "array"}}}),
    AnswerFormat::JsonSchema(json!({"type": "array"}))
)]
#[case("structured_outputs", json!({"json": {"type": "array"}}), AnswerFormat::JsonSchema(json!({"type": "array"})))]
#[case("structured_outputs", json!({"json_object": true, "regex": null}), AnswerFormat::JsonObject)]
#[case("structured_outputs", json!({"regex": "[ab]"}), AnswerFormat::Regex("[ab]".into()))]
#[case("guided_json", json!("{\"type\": \"array\"}"), AnswerFormat::JsonSchema(json!({"type": "array"})))]
#[case("guided_regex", json!("[ab]"), AnswerFormat::Regex("[ab]".into()))]
#[case("guided_choice", json!(["a", "b"]), AnswerFormat::Choice(vec!["a".into(), "b".into()]))]
fn forms_are_understood(#[case] field: &str, #[case] value: Value, #[case] expected: AnswerFormat) {
    let body = request(field, value.clone()).body;
    assert_eq!(format_field(body.fields()), field);
    assert_eq!(
        convert(field, value).expect("supported").format,
        Some(expected)
    );
}

#[rstest]
#[case("min_p", json!(1.5), "min_p", "from 0 to 1")]
#[case("presence_penalty", json!(3), "presence_penalty", "from -2 to 2")]
#[case("logit_bias", json!({"x": 1}), "logit_bias", "x: 1")]
#[case("logit_bias", json!({"1": 101}), "logit_bias", "-100 to 100")]
#[case("top_logprobs", json!(2), "top_logprobs", "logprobs")]
#[case("response_format", json!({"type": "yaml"}), "response_format", "json_schema")]
#[case("structured_outputs", json!({"regex": "a", "choice": ["a"]}), "structured_outputs", "exactly one")]
#[case("guided_regex", json!(7), "guided_regex", "regular expression")]
#[case("tools", json!({}), "tools", "a list")]
#[case("tools", json!([{"type": "function", "function": {"name": 7}}]), "tools[0].function.name", "a string")]
#[case("tools", json!([{"type": "function", "function": {"name": "f", "parameters": 7}}]), "tools[0].function.parameters", "schema")]
#[case("tool_choice", json!("always"), "tool_choice", "always")]
#[case("messages", json!([{"role": "tool", "content": "x"}]), "messages[0].tool_call_id", "missing")]
#[case(
    "messages",
    json!([{"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{"}}]}]),
    "messages[0].tool_calls[0].function.arguments",
    "a JSON object"
)]
fn a_wrong_value_names_its_place(
    #[case] field: &str,
    #[case] value: Value,
    #[case] place: &str,
    #[case] expected: &str,
) {
    let error = convert(field, value).expect_err("wrong");
    let GatewayError::InvalidRequest { message, param } = error else {
        panic!("{error}")
    };
    assert_eq!(param.as_deref(), Some(place));
    assert!(message.contains(expected), "{message}");
}

#[test]
fn an_answer_has_one_form() {
    let mut request = request("guided_regex", json!("a"));
    request
        .body
        .fields_mut()
        .insert("guided_json".into(), json!({"type": "object"}));
    let error = engine_request(&request, "tiny").expect_err("two");
    assert!(error.to_string().contains("one form"), "{error}");
}

#[test]
fn texts_have_their_own_way_to_ask_for_probabilities() {
    let text = |field: &str, value: Value| {
        let mut body = json!({"prompt": "x", "logprobs": 2});
        body[field] = value;
        let body = body.as_object().expect("an object").clone();
        engine_request(
            &ChatRequest::of_task(Task::Complete, body).expect("valid"),
            "tiny",
        )
    };
    assert_eq!(
        text("n", json!(1)).expect("valid").log_probabilities,
        Some(2)
    );
    assert!(text("logprobs", json!(true)).is_err());
}
