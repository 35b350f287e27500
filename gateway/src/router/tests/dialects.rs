//! The same models for clients of Anthropic's API and of OpenAI's Responses API.

use rstest::rstest;

use super::{App, Body, Gateway, Request, Response, Value, json, text};

fn messages(model: &str, words: &str) -> Value {
    json!({"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": words}]})
}

/// The events of a stream, as name and data.
fn events(text: &str) -> Vec<(String, Value)> {
    let lines: Vec<_> = text.lines().filter(|line| !line.is_empty()).collect();
    lines
        .chunks(2)
        .map(|pair| {
            let name = pair[0].strip_prefix("event: ").expect("a name");
            let data = pair[1].strip_prefix("data: ").expect("data");
            (name.to_owned(), serde_json::from_str(data).expect("JSON"))
        })
        .collect()
}

/// A request of Anthropic's client.
async fn send(gateway: &Gateway, method: &str, path: &str, key: &str, body: String) -> Response {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("x-api-key", key)
        .header("x-request-id", "trace-1")
        .body(Body::from(body))
        .expect("a request");
    App::new(gateway.state.clone()).answer(request).await
}

#[tokio::test]
async fn a_local_model_answers_in_anthropics_dialect() {
    let gateway = Gateway::start(true).await;
    let body = messages("near", "hello there").to_string();
    let response = send(&gateway, "POST", "/v1/messages", "sesame", body).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["request-id"], "trace-1");
    assert_eq!(response.headers()["x-request-id"], "trace-1");
    assert_eq!(response.headers()["x-claw-model"], "near");
    let answer: Value = serde_json::from_str(&text(response).await).expect("JSON");
    assert_eq!(
        answer["content"],
        json!([{"type": "text", "text": "echo: hello there"}])
    );
    assert_eq!(
        (
            &answer["stop_reason"],
            &answer["usage"]["input_tokens"],
            &answer["usage"]["cache_read_input_tokens"]
        ),
        (&json!("end_turn"), &json!(5), &json!(2))
    );
}

#[tokio::test]
async fn a_stream_of_messages_has_the_documented_events_in_order() {
    let gateway = Gateway::start(true).await;
    let mut body = messages("near", "hi");
    body["stream"] = true.into();
    let events = events(&text(gateway.send("/v1/messages", &body).await).await);
    let names: Vec<_> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "message_start",
            "content_block_start",
            "ping",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop"
        ]
    );
    assert!(events.iter().all(|(name, data)| data["type"] == *name));
    assert_eq!(
        (
            &events[6].1["usage"]["input_tokens"],
            &events[6].1["usage"]["output_tokens"]
        ),
        (&json!(5), &json!(2))
    );
    body["messages"][0]["content"] = "fail".into();
    let (name, error) = self::events(&text(gateway.send("/v1/messages", &body).await).await)
        .pop()
        .expect("events");
    assert_eq!(
        (name.as_str(), &error["error"]["type"]),
        ("error", &json!("api_error"))
    );
}

#[rstest]
#[case::stranger(
    "POST",
    "/v1/messages",
    "wrong",
    messages("near", "hi"),
    401,
    "authentication_error"
)]
#[case::uncounted(
    "POST",
    "/v1/messages/count_tokens",
    "wrong",
    messages("near", "hi"),
    401,
    "authentication_error"
)]
#[case::method("GET", "/v1/messages", "sesame", json!({}), 405, "invalid_request_error")]
#[case::path("POST", "/v1/messages/batches", "sesame", json!({}), 404, "not_found_error")]
#[case::long("POST", "/v1/messages", "sesame", messages("near", &"x".repeat(5000)), 413, "request_too_large")]
#[case::list("POST", "/v1/messages", "sesame", json!([]), 400, "invalid_request_error")]
#[case::model(
    "POST",
    "/v1/messages",
    "sesame",
    messages("nobody", "hi"),
    404,
    "not_found_error"
)]
#[case::full(
    "POST",
    "/v1/messages",
    "sesame",
    messages("near", "full"),
    429,
    "rate_limit_error"
)]
#[case::panic(
    "POST",
    "/v1/messages",
    "sesame",
    messages("near", "panic"),
    500,
    "api_error"
)]
#[case::gone(
    "POST",
    "/v1/messages",
    "sesame",
    messages("gone", "hi"),
    503,
    "overloaded_error"
)]
#[tokio::test]
async fn every_refusal_on_anthropics_paths_has_its_shape(
    #[case] method: &str,
    #[case] path: &str,
    #[case] key: &str,
    #[case] body: Value,
    #[case] status: u16,
    #[case] kind: &str,
) {
    let gateway = Gateway::start(true).await;
    let response = send(&gateway, method, path, key, body.to_string()).await;
    assert_eq!(response.status(), status);
    assert_eq!(response.headers()["content-type"], "application/json");
    let error: Value = serde_json::from_str(&text(response).await).expect("JSON");
    assert_eq!(
        (
            &error["type"],
            &error["error"]["type"],
            &error["request_id"]
        ),
        (&json!("error"), &json!(kind), &json!("trace-1")),
        "{error}"
    );
}

#[tokio::test]
async fn a_refusal_names_the_place_in_the_clients_own_request() {
    let gateway = Gateway::start(true).await;
    let mut body = messages("near", "hi");
    body["system"] = "be kind".into();
    body["messages"][0]["content"] =
        json!([{"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}}]);
    let (status, error) = gateway.ask("/v1/messages", &body).await;
    let message = error["error"]["message"].as_str().expect("a message");
    assert!(
        status == 400 && message.contains("messages[0].content of type image_url"),
        "{error}"
    );
}

#[tokio::test]
async fn a_prompt_is_counted_by_its_model_or_estimated() {
    let gateway = Gateway::start(true).await;
    let mut body = messages("near", "one two three");
    body["system"] = "be kind".into();
    for (model, how, tokens) in [("near", "exact", 5), ("far", "estimate", 5)] {
        body["model"] = model.into();
        let response = gateway.send("/v1/messages/count_tokens", &body).await;
        assert_eq!(response.headers()["x-claw-token-count"], how);
        let count: Value = serde_json::from_str(&text(response).await).expect("JSON");
        assert_eq!(count, json!({"input_tokens": tokens}));
    }
}

#[tokio::test]
async fn a_local_model_answers_as_a_response() {
    let gateway = Gateway::start(true).await;
    let mut body = json!({"model": "near", "input": "hello there", "max_output_tokens": 9});
    let (status, answer) = gateway.ask("/v1/responses", &body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        (
            &answer["status"],
            &answer["output"][0]["content"][0]["text"]
        ),
        (&json!("completed"), &json!("echo: hello there"))
    );
    assert_eq!(answer["usage"]["total_tokens"], 10);
    body["stream"] = true.into();
    let events = events(&text(gateway.send("/v1/responses", &body).await).await);
    let names: Vec<_> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.first(), Some(&"response.created"));
    assert_eq!(names.last(), Some(&"response.completed"));
    assert_eq!(
        events[events.len() - 1].1["response"]["usage"],
        answer["usage"]
    );
}

#[tokio::test]
async fn a_response_is_never_stored() {
    let gateway = Gateway::start(true).await;
    let (status, error) = gateway
        .ask(
            "/v1/responses",
            &json!({"model": "near", "input": "hi", "previous_response_id": "resp_1"}),
        )
        .await;
    assert_eq!(
        (status, &error["error"]["param"]),
        (400, &json!("previous_response_id"))
    );
    let (status, error) = gateway.ask("/v1/responses/resp_1/cancel", &json!({})).await;
    assert_eq!(
        (status, &error["error"]["code"]),
        (404, &json!("not_found"))
    );
    let (status, error) = gateway
        .ask(
            "/v1/responses",
            &json!({"model": "near", "input": "hi", "reasoning": {"effort": "low"}}),
        )
        .await;
    assert_eq!(
        (status, &error["error"]["param"]),
        (400, &json!("reasoning.effort"))
    );
}

#[tokio::test]
async fn a_local_model_goes_on_with_texts() {
    let gateway = Gateway::start(true).await;
    let body = json!({"model": "near", "prompt": ["one two", "x"], "n": 2, "echo": true});
    let (status, answer) = gateway.ask("/v1/completions", &body).await;
    assert_eq!(status, 200, "{answer}");
    let choices = answer["choices"].as_array().expect("a list");
    let told: Vec<_> = choices
        .iter()
        .map(|choice| (&choice["index"], choice["text"].as_str().expect("text")))
        .collect();
    assert_eq!(
        told,
        [
            (&json!(0), "one twoecho: one two"),
            (&json!(1), "one twoecho: one two"),
            (&json!(2), "xecho: x"),
            (&json!(3), "xecho: x")
        ]
    );
    assert_eq!(
        answer["usage"],
        json!({
            "prompt_tokens": 14, "completion_tokens": 10, "total_tokens": 24,
            "prompt_tokens_details": {"cached_tokens": 4},
        }),
        "each prompt once, every answer"
    );
}

#[tokio::test]
async fn several_local_answers_come_one_after_the_other() {
    let gateway = Gateway::start(true).await;
    let mut body = super::chat("near", "hi");
    body["n"] = 2.into();
    let (status, whole) = gateway.ask("/v1/chat/completions", &body).await;
    assert_eq!(
        (status, whole["choices"].as_array().map(Vec::len)),
        (200, Some(2))
    );
    body["stream"] = true.into();
    body["stream_options"] = json!({"include_usage": true});
    let text = text(gateway.send("/v1/chat/completions", &body).await).await;
    let chunks: Vec<Value> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
        .collect();
    for index in [0, 1] {
        let said: String = chunks
            .iter()
            .filter(|chunk| chunk["choices"][0]["index"] == index)
            .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
            .collect();
        assert_eq!(said, "echo: hi");
    }
    let last = chunks.last().expect("chunks");
    assert_eq!(last["usage"], whole["usage"]);
    assert_eq!(
        last["usage"],
        json!({
            "prompt_tokens": 7, "completion_tokens": 4, "total_tokens": 11,
            "prompt_tokens_details": {"cached_tokens": 2},
        })
    );
}

#[rstest]
#[case::vectors("/v1/embeddings", json!({"model": "near", "input": "a"}), "model")]
#[case::ranking("/v1/rerank", json!({"model": "near", "query": "a", "documents": ["b"]}), "model")]
#[case::tokens("/v1/completions", json!({"model": "near", "prompt": [1, 2]}), "prompt of tokens")]
#[case::suffix("/v1/completions", json!({"model": "near", "prompt": "a", "suffix": "b"}), "suffix")]
#[case::best("/v1/completions", json!({"model": "near", "prompt": "a", "best_of": 3}), "best_of")]
#[case::logprobs("/v1/completions", json!({"model": "near", "prompt": "a", "logprobs": 1, "echo": true}), "logprobs")]
#[case::many("/v1/completions", json!({"model": "near", "prompt": ["a", "b"], "n": 9}), "n")]
#[tokio::test]
async fn what_a_local_model_cannot_do_is_refused_by_name(
    #[case] path: &str,
    #[case] body: Value,
    #[case] field: &str,
) {
    let gateway = Gateway::start(true).await;
    let (status, error) = gateway.ask(path, &body).await;
    assert_eq!(
        (status, &error["error"]["param"]),
        (400, &json!(field)),
        "{error}"
    );
}
