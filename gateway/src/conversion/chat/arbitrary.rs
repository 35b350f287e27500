//! Requests that nobody would write, for properties.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::types::ChatRequest;

/// Fields that conversions look at.
const FIELDS: [&str; 34] = [
    "temperature",
    "top_p",
    "top_k",
    "max_tokens",
    "max_completion_tokens",
    "stop",
    "seed",
    "n",
    "logprobs",
    "top_logprobs",
    "user",
    "safety_identifier",
    "metadata",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
    "thinking",
    "output_config",
    "generationConfig",
    "service_tier",
    "stream",
    "stream_options",
    "modalities",
    "audio",
    "verbosity",
    "store",
    "prediction",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "function_call",
    "novel",
];

/// Any JSON, with words that mean something here and there.
pub(in crate::conversion) fn any_json() -> impl Strategy<Value = Value> {
    let words = prop::sample::select(vec![
        "",
        "text",
        "auto",
        "required",
        "function",
        "json_object",
        "json_schema",
        "high",
        "é🦀",
        "{",
        "{}",
        "data:image/png;base64,QUJD",
        "https://host/x.png",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-3.0..3.0).prop_map(|number: f64| json!(number)),
        words.prop_map(Value::from),
    ];
    let names = prop::sample::select(vec![
        "type",
        "text",
        "name",
        "id",
        "function",
        "arguments",
        "parameters",
        "strict",
        "custom",
        "schema",
        "json_schema",
        "image_url",
        "url",
        "file",
        "file_data",
        "file_id",
        "input_audio",
        "data",
        "format",
        "include_usage",
    ]);
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names.clone(), inner), 0..5).prop_map(|members| {
                let members = members.into_iter();
                Value::Object(
                    members
                        .map(|(name, value)| (name.to_owned(), value))
                        .collect(),
                )
            }),
        ]
    })
}

fn message() -> impl Strategy<Value = Value> {
    let roles = prop::sample::select(vec![
        "system",
        "developer",
        "user",
        "assistant",
        "tool",
        "function",
    ]);
    let part = prop_oneof![
        Just(json!({"type": "text", "text": "hi"})),
        Just(json!({"type": "image_url", "image_url": {"url": "https://host/x.png"}})),
        any_json(),
    ];
    let content = prop_oneof![
        Just(json!("hi")),
        Just(Value::Null),
        prop::collection::vec(part, 0..3).prop_map(Value::from),
    ];
    let call = Just(json!({
        "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"x\": 1}"},
    }));
    let calls = prop_oneof![
        2 => Just(Value::Null),
        1 => prop::collection::vec(call, 1..3).prop_map(Value::from),
        1 => any_json(),
    ];
    (roles, content, calls, any_json()).prop_map(|(role, content, calls, more)| {
        json!({
            "role": role, "content": content, "tool_calls": calls, "tool_call_id": "c1",
            "thinking_blocks": more,
        })
    })
}

/// Whatever the gateway takes for a request.
pub(in crate::conversion) fn any_request() -> impl Strategy<Value = ChatRequest> {
    let messages = prop::collection::vec(message(), 1..5);
    let fields = prop::collection::vec((prop::sample::select(FIELDS.to_vec()), any_json()), 0..5);
    (messages, fields).prop_filter_map("refused before", |(messages, fields)| {
        let mut body = Map::new();
        body.insert("messages".into(), messages.into());
        let fields = fields.into_iter();
        body.extend(fields.map(|(field, value)| (field.to_owned(), value)));
        ChatRequest::from_object(body).ok()
    })
}
