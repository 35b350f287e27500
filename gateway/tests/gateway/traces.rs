//! The spans of a request, and the trace that goes on at a remote API.

use std::sync::{Arc, Mutex};

use axum::Json;
use axum::Router;
use axum::routing::post;
use claw_telemetry::receiver::Receiver;
use http::HeaderMap;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::binary::{Binary, KEY, chat, client_builder, events, stream};
use crate::upstream::Upstream;

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
            "usage": {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9},
        }))
    };
    let app = Router::new().route("/v1/chat/completions", post(answer));
    servers.spawn(async move { axum::serve(listener, app).await.expect("serves") });
    format!("http://{address}/v1")
}

/// A gateway that sends its traces to this receiver.
pub(crate) async fn traced(receiver: &Receiver, folder: TempDir, arguments: &[String]) -> Binary {
    let client = ("http", client_builder().build().expect("a client"));
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*receiver.endpoint),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
    ];
    Binary::start_with_environment(folder, arguments, client, &environment).await
}

/// What a span says.
pub(crate) fn told(span: &Span) -> Value {
    let value = |value: &Any| match value {
        Any::StringValue(text) => json!(text),
        Any::BoolValue(is) => json!(is),
        Any::IntValue(number) => json!(number),
        Any::DoubleValue(number) => json!(number),
        other => panic!("{other:?} is not expected"),
    };
    let attributes = span.attributes.iter().map(|attribute| {
        let told = attribute.value.as_ref().and_then(|any| any.value.as_ref());
        let told = match told.expect("a value") {
            Any::ArrayValue(array) => {
                let items = array.values.iter().filter_map(|item| item.value.as_ref());
                items.map(value).collect()
            }
            single => value(single),
        };
        (attribute.key.clone(), told)
    });
    Value::Object(attributes.collect())
}

fn is_failed(span: &Span) -> bool {
    span.status
        .as_ref()
        .is_some_and(|status| status.code() == StatusCode::Error)
}

#[tokio::test]
async fn a_request_and_its_upstream_call_are_spans_of_the_callers_trace() {
    let (mut servers, seen) = (JoinSet::new(), Arc::default());
    let api = upstream(&mut servers, Arc::clone(&seen)).await;
    let receiver = Receiver::start().await.expect("a port");
    let arguments = ["--model".to_owned(), format!("far={api}")];
    let gateway = traced(
        &receiver,
        tempfile::tempdir().expect("a folder"),
        &arguments,
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
    assert_eq!(answer["model"], "far");

    let request = receiver.span("request").await.expect("a span");
    assert_eq!(hex::encode(&request.trace_id), TRACE);
    assert_eq!(hex::encode(&request.parent_span_id), CALLER);
    assert_eq!(told(&request)["http.response.status_code"], json!(200));
    let call = receiver.span("chat far").await.expect("a span");
    assert_eq!(call.trace_id, request.trace_id);
    assert_eq!(call.kind(), SpanKind::Client);
    assert_eq!(call.parent_span_id, request.span_id);
    // What the API says of itself, though its answer could have gone on unread.
    let told = told(&call);
    for (name, expected) in [
        ("gen_ai.response.id", json!("far-id")),
        ("gen_ai.response.model", json!("far-model")),
        ("gen_ai.response.finish_reasons", json!(["stop"])),
        ("gen_ai.usage.output_tokens", json!(4)),
    ] {
        assert_eq!(told[name], expected, "{name}");
    }
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

#[tokio::test]
async fn each_call_of_a_model_says_whom_it_asked_and_how_it_ended() {
    let (upstream, receiver) = (
        Upstream::start().await,
        Receiver::start().await.expect("a port"),
    );
    let folder = tempfile::tempdir().expect("a folder");
    let routes = folder.path().join("routes.yaml");
    let rules = "routes: [{pattern: ^/ask$, model: broken, fallback: far}]";
    std::fs::write(&routes, rules).expect("written");
    let mut arguments = upstream.models(&["broken", "far", "cut"]);
    arguments.extend(["--routes".to_owned(), routes.display().to_string()]);
    let gateway = traced(&receiver, folder, &arguments).await;
    let mut body = stream("far");
    body["max_tokens"] = 64.into();
    body["temperature"] = json!(0.5);
    body["seed"] = 7.into();
    body["stop"] = json!(["END"]);
    let answer = gateway.chat("/ask", &body).send().await;
    assert!(!events(answer.expect("an answer")).await.is_empty());

    let request = receiver.span("request").await.expect("a span");
    let failed = receiver.span("chat broken").await.expect("a span");
    let answered = receiver.span("chat far").await.expect("a span");
    for call in [&failed, &answered] {
        assert_eq!(call.parent_span_id, request.span_id, "{call:?}");
        assert!(call.end_time_unix_nano <= request.end_time_unix_nano);
    }
    assert!(failed.end_time_unix_nano <= answered.start_time_unix_nano);
    let mut expected = json!({
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "broken",
        "claw.model": "broken",
        "server.address": "127.0.0.1",
        "server.port": upstream.address.port(),
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 64,
        "gen_ai.request.seed": 7,
        "gen_ai.request.stream": true,
        "gen_ai.request.stop_sequences": ["END"],
        "http.response.status_code": 500,
        "error.type": "upstream_error",
    });
    assert_eq!(told(&failed), expected);
    assert!(is_failed(&failed));
    let mut seen = told(&answered);
    let seen = seen.as_object_mut().expect("an object");
    let first = seen.remove("gen_ai.response.time_to_first_chunk");
    assert!(first.and_then(|first| first.as_f64()) > Some(0.0));
    let fields = expected.as_object_mut().expect("an object");
    fields.remove("error.type");
    for (field, value) in [
        ("gen_ai.request.model", json!("far")),
        ("claw.model", json!("far")),
        ("http.response.status_code", json!(200)),
        ("gen_ai.response.id", json!("far-id")),
        ("gen_ai.response.model", json!("far-model")),
        ("gen_ai.response.finish_reasons", json!(["stop"])),
        ("gen_ai.usage.input_tokens", json!(3)),
        ("gen_ai.usage.output_tokens", json!(2)),
    ] {
        fields.insert(field.to_owned(), value);
    }
    assert_eq!(seen, fields);
    assert!(!is_failed(&answered));

    let cut = gateway.chat("/v1/chat/completions", &stream("cut"));
    events(cut.send().await.expect("an answer")).await;
    let cut = receiver.span("chat cut").await.expect("a span");
    let seen = told(&cut);
    assert!(is_failed(&cut));
    assert_eq!(seen["error.type"], "upstream_interrupted", "{seen}");
    assert_eq!(seen["claw.usage.estimated"], true, "{seen}");
}

#[tokio::test]
async fn a_stream_is_a_call_until_its_client_leaves_or_its_time_is_over() {
    let (upstream, receiver) = (
        Upstream::start().await,
        Receiver::start().await.expect("a port"),
    );
    let folder = tempfile::tempdir().expect("a folder");
    let routes = folder.path().join("routes.yaml");
    let rules = "routes: [{pattern: ^/short$, model: slow, timeouts: {total: 300ms}}]";
    std::fs::write(&routes, rules).expect("written");
    let mut arguments = upstream.models(&["drips", "slow"]);
    arguments.extend(["--routes".to_owned(), routes.display().to_string()]);
    let gateway = traced(&receiver, folder, &arguments).await;
    let path = "/v1/chat/completions";
    let mut answer = gateway
        .chat(path, &stream("drips"))
        .send()
        .await
        .expect("an answer");
    assert!(answer.chunk().await.expect("a piece").is_some());
    drop(answer);
    let left = receiver.span("chat drips").await.expect("a span");
    assert_eq!(told(&left)["claw.complete"], false, "{left:?}");
    assert!(!is_failed(&left));
    assert_eq!(gateway.ask("/short", &chat("slow")).await.0, 504);
    let late = receiver.span("chat slow").await.expect("a span");
    assert_eq!(told(&late)["error.type"], "total_timeout", "{late:?}");
    assert!(is_failed(&late));
}
