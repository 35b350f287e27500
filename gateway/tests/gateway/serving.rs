//! Good requests, and what their callers see.

use serde_json::{Value, json};

use crate::binary::{Binary, chat, events, said, stream, until};
use crate::upstream::Upstream;

#[tokio::test]
async fn an_answer_shows_our_model_name_and_passes_the_rest() {
    let upstream = Upstream::start().await;
    let gateway = Binary::start(&upstream.models(&["good"])).await;
    let mut body = chat("good");
    body["novel_field"] = json!({"deep": [1]});
    let response = gateway
        .chat("/v1/chat/completions", &body)
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-claw-model"], "good");
    assert!(response.headers().contains_key("x-request-id"));
    let answer: Value = response.json().await.expect("JSON");
    assert_eq!(
        (&answer["model"], &answer["novel"]),
        (&json!("good"), &json!(true))
    );
    assert_eq!(answer["usage"]["total_tokens"], 5);
    assert_eq!(upstream.requests(), [body]);
    assert_eq!(upstream.credentials(), [Some("Bearer far-key".to_owned())]);
}

#[tokio::test]
async fn a_stream_begins_with_a_role_and_ends_with_usage_and_done() {
    let upstream = Upstream::start().await;
    let gateway = Binary::start(&upstream.models(&["good"])).await;
    let mut body = stream("good");
    body["stream_options"] = json!({"include_usage": true});
    let response = gateway
        .chat("/v1/chat/completions", &body)
        .send()
        .await
        .expect("an answer");
    assert!(
        response.headers()["content-type"]
            .to_str()
            .expect("text")
            .starts_with("text/event-stream")
    );
    let events = events(response).await;
    assert_eq!(said(&events), "Hello");
    let chunks: Vec<Value> = events[..events.len() - 1]
        .iter()
        .map(|event| serde_json::from_str(event).expect("JSON"))
        .collect();
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(
        chunks[chunks.len() - 2]["choices"][0]["finish_reason"],
        "stop"
    );
    assert_eq!(chunks[chunks.len() - 1]["usage"]["total_tokens"], 5);
    assert!(chunks.iter().all(|chunk| chunk["model"] == "good"));
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_upstream_request_along() {
    let upstream = Upstream::start().await;
    let gateway = Binary::start(&upstream.models(&["drips"])).await;
    let mut response = gateway
        .chat("/v1/chat/completions", &stream("drips"))
        .send()
        .await
        .expect("an answer");
    response.chunk().await.expect("a piece").expect("not over");
    drop(response);
    upstream.until_abandoned().await;
}

#[tokio::test]
async fn models_are_listed_and_shown() {
    let upstream = Upstream::start().await;
    let gateway = Binary::start(&upstream.models(&["good", "org/other"])).await;
    let get = async |path: &str| {
        let request = gateway
            .client
            .get(gateway.url(path))
            .bearer_auth(crate::binary::KEY);
        request
            .send()
            .await
            .expect("an answer")
            .json::<Value>()
            .await
            .expect("JSON")
    };
    let list = get("/v1/models").await;
    assert_eq!(
        (&list["data"][0]["id"], &list["data"][1]["id"]),
        (&json!("good"), &json!("org/other"))
    );
    assert_eq!(get("/v1/models/org/other").await["object"], "model");
    assert_eq!(
        get("/v1/models/nobody").await["error"]["code"],
        "model_not_found"
    );
}

#[tokio::test]
async fn what_happened_is_counted() {
    let upstream = Upstream::start().await;
    let gateway = Binary::start(&upstream.models(&["good"])).await;
    let request = gateway
        .chat("/v1/chat/completions", &chat("good"))
        .header("x-request-id", "trace-7");
    assert_eq!(
        request.send().await.expect("an answer").headers()["x-request-id"],
        "trace-7"
    );
    let (_, metrics) = gateway.managed("/metrics").await;
    let line =
        r#"claw_gateway_requests_total{handler="chat_completions",model="good",status="200"} 1"#;
    assert!(metrics.contains(line), "{metrics}");
    assert!(
        metrics.contains(r#"claw_gateway_tokens_total{model="good",kind="completion"} 2"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_caller_above_the_limit_is_told_when_to_come_back() {
    let upstream = Upstream::start().await;
    let mut arguments = upstream.models(&["good"]);
    arguments.extend(["--rate-limit".to_owned(), "1".to_owned()]);
    let gateway = Binary::start(&arguments).await;
    let mut refused = None;
    for _ in 0..20 {
        let response = gateway
            .chat("/v1/chat/completions", &chat("good"))
            .send()
            .await
            .expect("an answer");
        if response.status() == 429 {
            refused = Some(response);
            break;
        }
    }
    let response = refused.expect("20 requests take less than 20 seconds");
    assert_eq!(response.headers()["retry-after"], "1");
    let body: Value = response.json().await.expect("JSON");
    assert_eq!(body["error"]["type"], "rate_limit_error");
}

#[tokio::test]
async fn probes_tell_ready() {
    let upstream = Upstream::start().await;
    let gateway = Binary::start(&upstream.models(&["good"])).await;
    assert_eq!(gateway.managed("/livez").await.0, 200);
    let ready = until("the gateway is ready", async || {
        let (status, body) = gateway.managed("/readyz").await;
        (status == 200).then_some(body)
    })
    .await;
    assert_eq!(ready, r#"{"ready":true,"reasons":[]}"#);
    assert_eq!(gateway.managed("/startupz").await.0, 200);
}

#[tokio::test]
async fn a_gateway_that_cannot_keep_state_serves_but_is_not_ready() {
    let upstream = Upstream::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("state"), "a file in the way").expect("written");
    let gateway = Binary::start_in(folder, &upstream.models(&["good"])).await;
    let body = until("the store was tried", async || {
        let (status, body) = gateway.managed("/readyz").await;
        assert_eq!(status, 503, "{body}");
        body.contains("cannot be written").then_some(body)
    })
    .await;
    assert!(body.contains("--state-dir"), "{body}");
    let (_, metrics) = gateway.managed("/metrics").await;
    assert!(
        metrics.contains("claw_gateway_store_writable{} 0"),
        "{metrics}"
    );
    let (status, _) = gateway.ask("/v1/chat/completions", &chat("good")).await;
    assert_eq!(status, 200);
}
