//! The examples with the real model: from `kubectl apply` to an answer with sense.

use std::path::PathBuf;

use claw_crds::ClawGateway;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    context::{Case, Context, cases},
    gateway::{Gateway, content, message, streamed_content},
    operator::Operator,
};

pub(crate) fn cases() -> Vec<Case> {
    if gguf().is_some() {
        cases![the_examples_answer_with_the_real_model]
    } else {
        Vec::new()
    }
}

/// The folder that holds smollm2.gguf.
const MODELS_VARIABLE: &str = "CLAW_TEST_MODELS";
/// Set to 1, its absence is a failure.
const REQUIRE_VARIABLE: &str = "CLAW_TEST_REQUIRE_MODEL";
/// The key in `examples/secrets.yaml`.
const EXAMPLE_KEY: &str = "demo-key-replace-me-before-use";

fn gguf() -> Option<PathBuf> {
    let found =
        std::env::var_os(MODELS_VARIABLE).map(|folder| PathBuf::from(folder).join("smollm2.gguf"));
    let found = found.filter(|path| path.is_file() && std::env::var_os("ORT_DYLIB_PATH").is_some());
    let is_required = std::env::var_os(REQUIRE_VARIABLE).is_some_and(|value| value == "1");
    assert!(
        found.is_some() || !is_required,
        "{REQUIRE_VARIABLE}=1 needs {MODELS_VARIABLE} (a folder with smollm2.gguf) and ORT_DYLIB_PATH"
    );
    found
}

async fn the_examples_answer_with_the_real_model(context: Context) {
    let operator = Operator::start(&context).await;
    let examples = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples");
    context
        .kubectl()
        .apply_path(&examples)
        .await
        .expect("applied");
    // The one thing that differs from what a user applies: where the model lies on this machine.
    let path = gguf().expect("the case exists only with it");
    let edit = json!([
        {"op": "test", "path": "/spec/models/0/name", "value": "smollm2"},
        {"op": "replace", "path": "/spec/models/0/local/source/path", "value": path},
    ]);
    let edit = edit.to_string();
    context
        .run(["patch", "cgw/support", "--type=json", "--patch", &edit])
        .await;
    context
        .becomes::<ClawGateway>(
            "support",
            &json!({"status": {"models": 2, "observedGeneration": 2}}),
        )
        .await;
    let gateway = Gateway::start(&context, "support").await;
    gateway.knows(&context, EXAMPLE_KEY).await;
    let client = gateway.client();
    let mut question = message("What is the capital of France?");
    // Left alone, so small a model is undecided between English and French, and rounding decides.
    let system = json!({"role": "system", "content": "Answer in English, in one short sentence."});
    let messages = question["messages"].as_array_mut();
    messages.expect("a list").insert(0, system);
    // The route's first model is a remote that does not exist: this is the fallback's answer.
    let answer = gateway
        .chat(&client, "/api/v1/chat", &question)
        .bearer_auth(EXAMPLE_KEY)
        .send();
    let answer = answer.await.expect("answered");
    assert_eq!(answer.status(), StatusCode::OK);
    let answer: Value = answer.json().await.expect("JSON");
    assert!(content(&answer).contains("Paris"), "{answer:#}");

    let mut streaming = question.clone();
    streaming["stream"] = json!(true);
    let streamed = gateway
        .chat(&client, "/api/v1/local", &streaming)
        .bearer_auth(EXAMPLE_KEY)
        .send();
    let body = streamed
        .await
        .expect("answered")
        .text()
        .await
        .expect("text");
    let expected = (content(&answer).to_owned(), true);
    assert_eq!(
        streamed_content(&body),
        expected,
        "greedy decoding gives one answer"
    );
    gateway.terminate().await;
    operator.terminate().await;
}
