//! The real engine with real models, where they are: CLAW_TEST_MODELS names a folder with smollm2.gguf and minilm, and
//! ORT_DYLIB_PATH the ONNX Runtime library. CLAW_TEST_REQUIRE_MODEL=1 makes their absence a failure.

use std::path::PathBuf;

use claw_telemetry::receiver::Receiver;
use futures::future::join_all;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::json;

use crate::binary::{Binary, chat, events, said, stream, until};
use crate::traces::{told, traced};
use crate::upstream::Upstream;

pub(crate) fn smollm2() -> Option<PathBuf> {
    model("smollm2.gguf")
}

fn model(name: &str) -> Option<PathBuf> {
    let model = std::env::var_os("CLAW_TEST_MODELS").map(|folder| PathBuf::from(folder).join(name));
    let model = model.filter(|path| path.exists() && std::env::var_os("ORT_DYLIB_PATH").is_some());
    if model.is_none() {
        let reason = format!("CLAW_TEST_MODELS (with {name}) and ORT_DYLIB_PATH are not both set");
        assert!(
            std::env::var_os("CLAW_TEST_REQUIRE_MODEL").is_none(),
            "{reason}"
        );
        println!("skipped: {reason}");
    }
    model
}

#[tokio::test]
async fn a_local_model_answers_for_a_remote_one_that_is_down() {
    let Some(model) = smollm2() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let routes = folder.path().join("routes.yaml");
    std::fs::write(
        &routes,
        "routes: [{pattern: ^/ask$, model: dead, fallback: near}]",
    )
    .expect("written");
    let arguments = [
        "--model".to_owned(),
        "dead=http://127.0.0.1:9/v1".to_owned(),
        "--model".to_owned(),
        format!("near={}", model.display()),
        "--routes".to_owned(),
        routes.display().to_string(),
    ];
    let receiver = Receiver::start().await.expect("a port");
    let gateway = traced(&receiver, folder, &arguments).await;
    until("the model is warm", async || {
        (gateway.managed("/readyz").await.0 == 200).then_some(())
    })
    .await;
    let mut body = chat("near");
    body["max_tokens"] = 8.into();
    body["temperature"] = 0.into();
    let (status, answer) = gateway.ask("/ask", &body).await;
    assert_eq!(
        (status, &answer["model"]),
        (200, &json!("near")),
        "{answer}"
    );
    assert!(
        answer["usage"]["completion_tokens"]
            .as_u64()
            .is_some_and(|tokens| (1..=8).contains(&tokens)),
        "{answer}"
    );
    let prompt_tokens = answer["usage"]["prompt_tokens"].clone();
    let whole = answer["choices"][0]["message"]["content"]
        .as_str()
        .expect("text")
        .to_owned();
    body["stream"] = true.into();
    let response = gateway.chat("/ask", &body).send().await.expect("an answer");
    assert_eq!(
        said(&events(response).await),
        whole,
        "the same request gives the same answer"
    );
    let call = receiver.span("chat near").await.expect("a span");
    let seen = told(&call);
    assert_eq!(call.kind(), SpanKind::Internal);
    for (field, expected) in [
        ("gen_ai.provider.name", json!("clawdbot")),
        ("gen_ai.response.model", json!("near")),
        ("gen_ai.usage.input_tokens", prompt_tokens.clone()),
    ] {
        assert_eq!(seen[field], expected, "{field} of {seen}");
    }
    let (_, metrics) = gateway.managed("/metrics").await;
    for line in [
        r#"claw_gateway_queue_wait_seconds_count{model="near"} 2"#,
        r#"claw_gateway_time_per_output_token_seconds_count{model="near"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line} is missing in {metrics}");
    }
    let raw = json!({"model": "near", "prompt": "The capital of France is", "temperature": 0, "max_tokens": 8});
    let (status, answer) = gateway.ask("/v1/completions", &raw).await;
    let text = answer["choices"][0]["text"].as_str().unwrap_or_default();
    assert!(status == 200 && text.contains("Paris"), "{answer}");
    let count = json!({"model": "near", "messages": body["messages"]});
    let (_, counted) = gateway.ask("/v1/messages/count_tokens", &count).await;
    assert_eq!(
        counted["input_tokens"], prompt_tokens,
        "as the model itself counts"
    );
    let mut unsupported = stream("near");
    unsupported["audio"] = json!({"voice": "x"});
    let (status, error) = gateway.ask("/v1/chat/completions", &unsupported).await;
    assert_eq!((status, &error["error"]["param"]), (400, &json!("audio")));
}

/// A gateway whose model `vectors` is warm.
async fn with_vectors() -> Option<Binary> {
    let model = model("minilm")?;
    let arguments = [
        "--model".to_owned(),
        format!("vectors={}", model.display()),
        "--model-task".to_owned(),
        "vectors=Embed".to_owned(),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = Binary::start_in(folder, &arguments).await;
    until("the model is warm", async || {
        (gateway.managed("/readyz").await.0 == 200).then_some(())
    })
    .await;
    Some(gateway)
}

#[tokio::test]
async fn a_local_model_makes_vectors_from_a_directory_of_weights() {
    let Some(gateway) = with_vectors().await else {
        return;
    };
    let input = [
        "How can I get a new password?",
        "To change a forgotten password, open the settings.",
        "The river is brown after a storm.",
    ];
    let body = json!({"model": "vectors", "input": input});
    let (status, answer) = gateway.ask("/v1/embeddings", &body).await;
    assert_eq!(status, 200, "{answer}");
    let vectors: Vec<Vec<f64>> = (0..input.len())
        .map(|index| {
            serde_json::from_value(answer["data"][index]["embedding"].clone()).expect("numbers")
        })
        .collect();
    let likeness = |left: usize, right: usize| -> f64 {
        let pairs = vectors[left].iter().zip(&vectors[right]);
        pairs.map(|(left, right)| left * right).sum()
    };
    assert!((likeness(0, 0) - 1.0).abs() < 1e-5, "a length of 1");
    assert!(likeness(0, 1) > likeness(0, 2) + 0.3, "the closest");
    let tokens = answer["usage"]["prompt_tokens"].as_u64().expect("a number");
    assert_eq!(answer["usage"]["total_tokens"], tokens);
    let (_, metrics) = gateway.managed("/metrics").await;
    let line = format!(r#"claw_gateway_tokens_total{{model="vectors",kind="prompt"}} {tokens}"#);
    assert!(metrics.contains(&line), "{line} is missing in {metrics}");
    let too_long = json!({"model": "vectors", "input": ["a", "word ".repeat(300)]});
    let (status, error) = gateway.ask("/v1/embeddings", &too_long).await;
    assert_eq!(
        (status, &error["error"]["param"], &error["error"]["code"]),
        (400, &json!("input[1]"), &json!("context_length_exceeded"))
    );
    let (status, error) = gateway.ask("/v1/chat/completions", &chat("vectors")).await;
    assert_eq!(
        (status, &error["error"]["code"]),
        (400, &json!("unsupported_task"))
    );
}

#[tokio::test]
async fn many_requests_at_once_are_read_on_few_threads() {
    let Some(gateway) = with_vectors().await else {
        return;
    };
    let body = json!({"model": "vectors", "input": "A sentence of some words."});
    let answers = join_all((0..64).map(|_| gateway.ask("/v1/embeddings", &body))).await;
    assert!(answers.iter().all(|(status, _)| *status == 200));
    let threads = std::fs::read_dir(format!("/proc/{}/task", gateway.process()));
    let names = threads.expect("threads").map(|thread| {
        let name = thread.expect("a thread").path().join("comm");
        // It may have ended meanwhile.
        std::fs::read_to_string(name).unwrap_or_default()
    });
    let count = names.filter(|name| name.trim() == "computation").count();
    let most = std::thread::available_parallelism().map_or(8, |count| count.get().max(8));
    assert!((1..=most).contains(&count), "{count} threads");
}

#[tokio::test]
async fn a_corrupt_model_is_shown_and_the_rest_serves() {
    let upstream = Upstream::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let corrupt = folder.path().join("corrupt.gguf");
    std::fs::write(&corrupt, "GGUF, but not really").expect("written");
    let mut arguments = upstream.models(&["good"]);
    for model in [
        format!("corrupt={}", corrupt.display()),
        "missing=/nowhere/at/all".to_owned(),
    ] {
        arguments.extend(["--model".to_owned(), model]);
    }
    let gateway = Binary::start_in(folder, &arguments).await;
    let models = until("both failures are shown", async || {
        let models = gateway.status().await["models"]
            .as_array()
            .expect("a list")
            .clone();
        (models
            .iter()
            .filter(|model| model["state"] == "failed")
            .count()
            == 2)
            .then_some(models)
    })
    .await;
    let reason = |name: &str| {
        let model = models
            .iter()
            .find(|model| model["name"] == name)
            .expect("listed");
        model["reason"].as_str().expect("a reason").to_owned()
    };
    assert!(
        reason("corrupt").contains("corrupt.gguf"),
        "{}",
        reason("corrupt")
    );
    assert!(
        reason("missing").contains("/nowhere/at/all"),
        "{}",
        reason("missing")
    );
    assert_eq!(
        gateway.ask("/v1/chat/completions", &chat("good")).await.0,
        200
    );
    assert_eq!(
        gateway
            .ask("/v1/chat/completions", &chat("missing"))
            .await
            .0,
        503
    );
    assert_eq!(gateway.managed("/readyz").await.0, 503);
}
