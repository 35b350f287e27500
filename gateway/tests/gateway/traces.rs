//! The spans of a request, and the trace that goes on at a remote API.

use std::sync::{Arc, Mutex};

use axum::Json;
use axum::Router;
use axum::routing::post;
use claw_telemetry::receiver::Receiver;
use http::HeaderMap;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::binary::{Binary, KEY, chat, client_builder};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// An API that keeps the headers it gets. Its address.
async fn upstream(servers: &mut JoinSet<()>, seen: Arc<Mutex<HeaderMap>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let answer = move |headers: HeaderMap| async move {
        *seen.lock().expect("not poisoned") = headers;
        Json(json!({
            "id": "far-id", "object": "chat.completion", "created": 1, "model": "far-model",
            "choices": [{
                "index": 0, "finish_reason": "stop",
                "message": {"role": "assistant", "content": "the answer of the oracle"},
            }],
        }))
    };
    let app = Router::new().route("/v1/chat/completions", post(answer));
    servers.spawn(async move { axum::serve(listener, app).await.expect("serves") });
    format!("http://{address}/v1")
}

#[tokio::test]
async fn a_request_and_its_upstream_call_are_spans_of_the_callers_trace() {
    let (mut servers, seen) = (JoinSet::new(), Arc::default());
    let api = upstream(&mut servers, Arc::clone(&seen)).await;
    let receiver = Receiver::start().await.expect("a port");
    let gateway = Binary::start_with_environment(
        tempfile::tempdir().expect("a folder"),
        &["--model".to_owned(), format!("far={api}")],
        ("http", client_builder().build().expect("a client")),
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.endpoint),
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ],
    )
    .await;
    let mut body = chat("far");
    body["messages"][0]["content"] = "the question of the pilgrim".into();
    let answer: Value = gateway
        .chat("/v1/chat/completions", &body)
        .header("traceparent", format!("00-{TRACE}-{CALLER}-01"))
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    assert_eq!(
        answer["choices"][0]["message"]["content"],
        "the answer of the oracle"
    );

    let request = receiver.span("request").await.expect("a span");
    assert_eq!(hex::encode(&request.trace_id), TRACE);
    assert_eq!(hex::encode(&request.parent_span_id), CALLER);
    let status = request
        .attributes
        .iter()
        .find(|attribute| attribute.key == "http.response.status_code")
        .expect("a status");
    assert!(format!("{status:?}").contains("200"), "{status:?}");
    let call = receiver.span("upstream").await.expect("a span");
    assert_eq!(call.trace_id, request.trace_id);
    assert_eq!(call.parent_span_id, request.span_id);
    let passed_on = seen.lock().expect("not poisoned").clone();
    let expected = format!("00-{TRACE}-{}-01", hex::encode(&call.span_id));
    assert_eq!(passed_on["traceparent"], expected);

    let sent = String::from_utf8_lossy(&receiver.bytes()).into_owned();
    for secret in ["pilgrim", "oracle", KEY, "far-key"] {
        assert!(!sent.contains(secret), "{secret} was sent");
    }
}

#[tokio::test]
async fn without_traces_of_our_own_the_callers_goes_on() {
    let (mut servers, seen) = (JoinSet::new(), Arc::<Mutex<HeaderMap>>::default());
    let api = upstream(&mut servers, Arc::clone(&seen)).await;
    let gateway = Binary::start(&["--model".to_owned(), format!("far={api}")]).await;
    let good = format!("00-{TRACE}-{CALLER}-01");
    let broken = format!("00-{TRACE}-nothing-01");
    for (sent, expected) in [(&good, Some(&good)), (&broken, None)] {
        let request = gateway
            .chat("/v1/chat/completions", &chat("far"))
            .header("traceparent", sent)
            .header("tracestate", "shop=1")
            .send();
        assert_eq!(request.await.expect("an answer").status(), 200);
        let seen = seen.lock().expect("not poisoned").clone();
        let text = |name| seen.get(name).map(|value| value.to_str().expect("text"));
        assert_eq!(text("traceparent"), expected.map(String::as_str));
        assert_eq!(text("tracestate"), expected.map(|_| "shop=1"));
    }
}
