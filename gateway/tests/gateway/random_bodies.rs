//! Ten thousand bodies that chance has made, for a model that runs in the gateway: each is answered or refused, and the
//! model goes on as if nothing had been.

use futures::{StreamExt as _, stream};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::binary::{Binary, until};
use crate::local_model::smollm2;

const BODIES: u64 = 10_000;
/// Asked at once.
const CLIENTS: usize = 32;
const PATHS: [&str; 8] = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/embeddings",
    "/v1/rerank",
    "/ask",
];
const FIELDS: [&str; 32] = [
    "model",
    "messages",
    "prompt",
    "input",
    "system",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "n",
    "stop",
    "seed",
    "stream",
    "stream_options",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "response_format",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "user",
    "query",
    "documents",
    "top_n",
    "encoding_format",
    "nobody_knows",
];

const WORDS: [&str; 8] = [
    "user",
    "near",
    "auto",
    "json_object",
    "",
    "\u{0}",
    "🙂",
    "</s>",
];

/// One token, so that those that are right take no time.
fn right(path: &str) -> Value {
    let messages = json!([{"role": "user", "content": "x"}]);
    match path {
        "/v1/completions" => json!({"model": "near", "max_tokens": 1, "prompt": "x"}),
        "/v1/responses" => json!({"model": "near", "max_output_tokens": 16, "input": "x"}),
        "/v1/embeddings" => json!({"model": "near", "input": "x"}),
        "/v1/rerank" => json!({"model": "near", "query": "x", "documents": ["x", "y"]}),
        "/v1/messages/count_tokens" => json!({"model": "near", "messages": messages}),
        _ => json!({"model": "near", "max_tokens": 1, "messages": messages}),
    }
}

fn value(chance: &mut StdRng, depth: u32) -> Value {
    match chance.random_range(0..if depth == 0 { 9 } else { 12 }) {
        0 => Value::Null,
        1 => json!(chance.random::<bool>()),
        2 => json!(chance.random_range(-3..4)),
        3 => json!(chance.random::<i64>()),
        4 => json!(chance.random::<f64>() * 3.0 - 1.0),
        5 => json!(1e308),
        6 => json!(WORDS.choose(chance)),
        7 => json!("x".repeat(chance.random_range(0..300))),
        8 => {
            let kind = ["function", "json_schema", "text"].choose(chance);
            json!({ "type": kind })
        }
        9 | 10 => (0..chance.random_range(0..4))
            .map(|_| value(chance, depth - 1))
            .collect(),
        _ => {
            let fields = (0..chance.random_range(0..4)).map(|_| {
                let name = FIELDS.choose(chance).map_or("", |name| *name);
                (name.to_owned(), value(chance, depth - 1))
            });
            Value::Object(fields.collect())
        }
    }
}

/// Bytes that mean nothing, a body that was cut off, or one with fields that chance has chosen.
fn body(path: &str, chance: &mut StdRng) -> Vec<u8> {
    match chance.random_range(0..5) {
        0 => {
            let mut bytes = vec![0; chance.random_range(0..400)];
            chance.fill_bytes(&mut bytes);
            bytes
        }
        1 => "[{\"a\":".repeat(chance.random_range(1..2000)).into_bytes(),
        2 => {
            let mut bytes = right(path).to_string().into_bytes();
            bytes.truncate(chance.random_range(0..bytes.len()));
            bytes
        }
        _ => {
            let mut body = right(path);
            for _ in 0..chance.random_range(1..4) {
                let name = FIELDS.choose(chance).map_or("", |name| *name);
                body[name] = value(chance, 3);
            }
            // Whatever else it asks for, no long answer.
            for name in ["max_tokens", "max_output_tokens"] {
                if right(path)[name].is_number() {
                    body[name] = right(path)[name].clone();
                }
            }
            body.to_string().into_bytes()
        }
    }
}

#[tokio::test]
async fn ten_thousand_random_bodies_harm_nobody() {
    let Some(model) = smollm2() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let routes = folder.path().join("routes.yaml");
    std::fs::write(&routes, "routes: [{pattern: ^/ask$, model: near}]").expect("written");
    let arguments = [
        "--model".to_owned(),
        format!("near={}", model.display()),
        "--routes".to_owned(),
        routes.display().to_string(),
    ];
    let gateway = Binary::start_in(folder, &arguments).await;
    until("the model is warm", async || {
        (gateway.managed("/readyz").await.0 == 200).then_some(())
    })
    .await;
    let mut question = right("/ask");
    question["max_tokens"] = json!(16);
    question["temperature"] = json!(0);
    let before = gateway.ask("/v1/chat/completions", &question).await;
    assert_eq!(before.0, 200, "{}", before.1);

    let outcomes: Vec<(u64, u16)> = stream::iter(0..BODIES)
        .map(async |number| {
            let mut chance = StdRng::seed_from_u64(number);
            let path = *PATHS.choose(&mut chance).expect("some");
            let bytes = body(path, &mut chance);
            let told = String::from_utf8_lossy(&bytes).into_owned();
            let answer = gateway.post(path, bytes).send().await;
            let answer = answer.unwrap_or_else(|error| panic!("{number}, {path} {told}: {error}"));
            let status = answer.status().as_u16();
            let text = answer.text().await.expect("a body");
            assert!(status < 500, "{number}, {path} {told}: {status} {text}");
            if status != 200 {
                let error: Value = serde_json::from_str(&text).expect("JSON");
                let message = error["error"]["message"].as_str().unwrap_or_default();
                assert!(!message.is_empty(), "{number}, {path} {told}: {text}");
            }
            (number, status)
        })
        .buffer_unordered(CLIENTS)
        .collect()
        .await;
    let answered = outcomes.iter().filter(|(_, status)| *status == 200).count();
    println!("{answered} of {BODIES} random bodies were right");
    assert!(answered > 0, "chance has made none that is right");

    let after = gateway.ask("/v1/chat/completions", &question).await;
    assert_eq!(
        after.1["choices"][0]["message"], before.1["choices"][0]["message"],
        "the model answers as before"
    );
    assert_eq!(gateway.managed("/readyz").await.0, 200);
}
