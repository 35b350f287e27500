//! Answers that take almost a minute, word by word, and clients that read them to their end.

use std::time::{Duration, Instant};

use claw_crds::ModelRoute;
use claw_e2e::testing::Context;
use futures::future::join_all;
use reqwest::Response;
use serde_json::{Value, json};

use crate::{
    gateway::Gateway,
    provider,
    shop::{API_KEY, ROUTE},
};

const STREAMS: usize = 8;
/// As slow_provider.py has it.
const WORDS: usize = 100;
/// Far longer than a stream takes.
const PATIENCE: Duration = Duration::from_mins(4);

const SLOW_PROVIDER: &str = include_str!("slow_provider.py");

/// Start a provider that takes 50 seconds for an answer; gives the shop's models with it, for `spec.models`.
pub(crate) async fn offer(context: &Context) -> Value {
    provider::start(context, "slow", SLOW_PROVIDER).await;
    let remote = |name: &str, provider: &str| {
        let url = format!("http://{provider}.{}.svc:8080/v1", context.namespace);
        json!({"name": name, "remote": {"provider": "OpenAI", "baseURL": url}})
    };
    json!([remote("big", "provider"), remote("slow", "slow")])
}

/// Lead /slow there.
pub(crate) async fn route(context: &Context) {
    let routes = json!({"spec": {"routes": [{"pattern": "^/ask", "model": "big"}, {"pattern": "^/slow", "model": "slow"}]}});
    context.edit::<ModelRoute>(ROUTE, &routes).await;
}

/// Open streams by a connection each; the first word of each has come then.
pub(crate) async fn open(gateway: &Gateway) -> Vec<Response> {
    join_all((0..STREAMS).map(|_| open_one(gateway))).await
}

async fn open_one(gateway: &Gateway) -> Response {
    let question = json!({"stream": true, "messages": [{"role": "user", "content": "a story"}]});
    let answer = gateway.ask(&gateway.client(), "/slow").json(&question);
    let answer = answer.bearer_auth(API_KEY).timeout(PATIENCE).send().await;
    let answer = answer.expect("a stream");
    assert_eq!(answer.status(), 200);
    answer
}

/// Read them to their ends; gives when those were.
pub(crate) async fn read(streams: Vec<Response>) -> Vec<Instant> {
    join_all(streams.into_iter().map(read_one)).await
}

async fn read_one(stream: Response) -> Instant {
    let text = stream.text().await.expect("nothing cuts the stream");
    let last = format!("word{} ", WORDS - 1);
    assert_eq!(text.matches("word").count(), WORDS, "{text}");
    assert!(
        text.contains(&last) && text.contains("data: [DONE]"),
        "{text}"
    );
    Instant::now()
}
