use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::types::parse_object;

/// What is read without taking a body apart is what is read of its fields.
fn alike(text: &str) -> Option<ChatRequest> {
    let bytes = Bytes::copy_from_slice(text.as_bytes());
    let request = read(&bytes)?;
    let fields = parse_object(&bytes).expect("an object");
    let expected = ChatRequest::from_object(fields).expect("a chat");
    assert_eq!(request, expected, "{text}");
    assert_eq!(request.body.tool_bytes(), expected.body.tool_bytes());
    assert_eq!(request.body.call_bytes(), expected.body.call_bytes());
    Some(request)
}

fn chat(name: &str, value: Value) -> String {
    let mut body = json!({"messages": [{"role": "user", "content": "hi"}], "model": "m"});
    body[name] = value;
    body.to_string()
}

#[rstest]
#[case("novel", json!({"deep": [1, -2, 2.5, null, true, "x"]}))]
#[case("temperature", json!(2))]
#[case("temperature", Value::Null)]
#[case("top_p", json!(0.5))]
#[case("top_k", json!(0))]
#[case("seed", json!(u64::MAX))]
#[case("n", json!(3))]
#[case("best_of", json!(5))]
#[case("max_tokens", json!(7))]
#[case("max_completion_tokens", json!(7))]
#[case("stop", json!("x"))]
#[case("stop", json!(["a", "b", "c", "d"]))]
#[case("stop", Value::Null)]
#[case("tools", json!([{"type": "function", "function": {"name": "f"}}]))]
#[case("tools", Value::Null)]
#[case("stream", json!(true))]
#[case("messages", json!([{"role": "system", "content": "a\"\n\u{e9}"}, {"role": "assistant", "name": "x"}]))]
#[case("messages", json!([{"role": "user", "content": [
    {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]))]
#[case("messages", json!([{"role": "user", "content": [
    {"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "data:,"}}]}]))]
#[case("messages", json!([{"role": "assistant", "content": null, "tool_calls": [{"id": "1"}]},
    {"role": "tool", "tool_call_id": "1", "content": "7"}, {"role": "user", "content": "?", "tool_calls": null}]))]
fn what_is_right_is_read_at_once(#[case] name: &str, #[case] value: Value) {
    assert!(alike(&chat(name, value)).is_some());
}

#[rstest]
#[case("temperature", json!(2.1))]
#[case("top_p", json!(-0.1))]
#[case("n", json!(0))]
#[case("max_tokens", json!(0))]
#[case("max_tokens", json!(1.0))]
#[case("stop", json!(["a", "b", "c", "d", "e"]))]
#[case("stream", json!("yes"))]
#[case("stream_options", json!({"include_usage": true}))]
#[case("model", json!(7))]
#[case("model", Value::Null)]
#[case("seed", json!(-1))]
#[case("tools", json!([]))]
#[case("tools", json!({}))]
#[case("messages", json!([]))]
#[case("messages", json!([{"role": "wizard", "content": "x"}]))]
#[case("messages", json!([{"role": "user"}]))]
#[case("messages", json!([{"role": "user", "content": [{"text": "x"}]}]))]
#[case("messages", json!([{"role": "user", "content": [{"type": "text"}]}]))]
fn what_needs_a_look_or_a_word_is_left(#[case] name: &str, #[case] value: Value) {
    assert!(alike(&chat(name, value)).is_none());
}

#[test]
fn a_stream_may_have_options() {
    let chat = |options: &str| {
        let head = r#"{"messages": [{"role": "user", "content": "hi"}], "stream": true"#;
        alike(&format!(r#"{head}, "stream_options": {options}}}"#))
    };
    for (options, expected) in [("{}", false), (r#"{"include_usage": true}"#, true)] {
        assert_eq!(chat(options).expect("a chat").include_usage, expected);
    }
    assert_eq!(chat("null"), None);
    assert_eq!(chat(r#"{"novel": 1}"#), None);
}

#[test]
fn fields_that_come_twice_are_left() {
    let messages = r#""messages": [{"role": "user", "content": "hi"}]"#;
    assert_eq!(
        alike(&format!(r#"{{"n": 1, {messages}, "\u006e": 2}}"#)),
        None
    );
    let twice = messages.replace(r#""content""#, r#""content": "a", "content""#);
    assert_eq!(alike(&format!("{{{twice}}}")), None);
}

#[test]
fn whatever_is_read_can_be_read_again() {
    for depth in 100..140 {
        let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        for name in ["novel", "tools"] {
            let text = chat(name, json!("here")).replace(r#""here""#, &deep);
            alike(&text);
        }
        let message = json!([{"role": "assistant", "content": "x", "tool_calls": "here"}]);
        alike(&chat("messages", message).replace(r#""here""#, &deep));
    }
}
