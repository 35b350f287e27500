//! Every point at which an API can fail, streamed and not: before the first content another model answers, after it
//! the stream ends with an error that says so, and what was said is counted.

mod raw_upstream;
mod script;

use std::fmt::Write as _;
use std::fs;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::binary::{Binary, chat, events, said, stream};
use crate::upstream::Upstream;
use raw_upstream::RawUpstream;
use script::{AFTER_CONTENT, BEFORE_CONTENT, HARMLESS, Point};

/// Long enough for a busy machine to get the other model's answer, short enough to wait for where an API is silent.
const PATIENCE: &str = "2s";

/// A gateway whose route `/ask/<point>` goes to the API that fails there, and then to `good`.
async fn gateway(good: &Upstream, bad: &RawUpstream) -> Binary {
    let folder = tempfile::tempdir().expect("a folder");
    let mut routes = "routes:\n".to_owned();
    let mut arguments = good.models(&["good"]);
    let all = [BEFORE_CONTENT, AFTER_CONTENT, HARMLESS];
    for point in all.into_iter().flatten() {
        let name = point.name;
        let _ = writeln!(
            routes,
            "- {{pattern: '^/ask/{name}$', model: {name}, fallback: good}}"
        );
        arguments.extend(["--model".to_owned(), format!("{name}={}", bad.url(point))]);
    }
    let file = folder.path().join("routes.yaml");
    fs::write(&file, routes).expect("written");
    arguments.extend(["--routes".to_owned(), file.display().to_string()]);
    for limit in [
        "--first-token-timeout",
        "--answer-timeout",
        "--idle-timeout",
    ] {
        arguments.extend([limit.to_owned(), PATIENCE.to_owned()]);
    }
    Binary::start_in(folder, &arguments).await
}

fn path(point: &Point) -> String {
    format!("/ask/{}", point.name)
}

/// Without a stream, the other model's answer comes.
async fn good_answers_whole(gateway: &Binary, point: &Point) {
    let name = point.name;
    let (status, answer) = gateway.ask(&path(point), &chat(name)).await;
    assert_eq!(
        (status, &answer["model"]),
        (200, &json!("good")),
        "{name}: {answer}"
    );
}

#[tokio::test]
async fn before_the_first_content_another_model_answers() {
    let (good, bad) = (Upstream::start().await, RawUpstream::start().await);
    let gateway = gateway(&good, &bad).await;
    join_all(BEFORE_CONTENT.iter().map(async |point| {
        let name = point.name;
        let response = gateway.chat(&path(point), &stream(name)).send().await;
        let response = response.expect("an answer");
        assert_eq!(response.status(), 200, "{name}");
        assert_eq!(response.headers()["x-claw-model"], "good", "{name}");
        let events = events(response).await;
        assert_eq!(said(&events), "Hello", "{name}");
        assert_eq!(events.last().map(String::as_str), Some("[DONE]"), "{name}");
        good_answers_whole(&gateway, point).await;
    }))
    .await;
    let (_, metrics) = gateway.managed("/metrics").await;
    for Point { name, reasons, .. } in BEFORE_CONTENT {
        for reason in reasons {
            let times = reasons.iter().filter(|other| *other == reason).count();
            let line = format!(r#"fallbacks_total{{model="{name}",reason="{reason}"}} {times}"#);
            let of_model = format!(r#"fallbacks_total{{model="{name}""#);
            let told: Vec<&str> = metrics
                .lines()
                .filter(|line| line.contains(&of_model))
                .collect();
            assert!(metrics.contains(&line), "{line} is not in {told:#?}");
        }
    }
}

#[tokio::test]
async fn after_the_first_content_an_error_ends_the_stream_and_usage_is_counted() {
    let (good, bad) = (Upstream::start().await, RawUpstream::start().await);
    let gateway = gateway(&good, &bad).await;
    join_all(AFTER_CONTENT.iter().map(async |point| {
        let name = point.name;
        let response = gateway.chat(&path(point), &stream(name)).send().await;
        let response = response.expect("an answer");
        assert_eq!(response.headers()["x-claw-model"], name);
        let events = events(response).await;
        assert_eq!(said(&events), "half", "{name}");
        let [.., event, data] = events.as_slice() else {
            panic!("{name}: {events:?}")
        };
        assert_eq!(event, "error", "{name}");
        let error: Value = serde_json::from_str(data).expect("JSON");
        assert_eq!(error["error"]["code"], point.reasons[0], "{name}: {error}");
        assert!(!events.iter().any(|event| event == "[DONE]"), "{name}");
        // Nobody has seen anything of a whole answer, so another model may give one.
        good_answers_whole(&gateway, point).await;
    }))
    .await;
    let (_, metrics) = gateway.managed("/metrics").await;
    for Point { name, .. } in AFTER_CONTENT {
        let line = format!(r#"tokens_total{{model="{name}",kind="completion"}} "#);
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
    assert_eq!(
        bad.requests(),
        2 * AFTER_CONTENT.len(),
        "no answer that has begun is asked for again"
    );
}

#[tokio::test]
async fn what_is_odd_but_whole_is_served() {
    let (good, bad) = (Upstream::start().await, RawUpstream::start().await);
    let gateway = gateway(&good, &bad).await;
    join_all(HARMLESS.iter().map(async |point| {
        let name = point.name;
        let response = gateway.chat(&path(point), &stream(name)).send().await;
        let response = response.expect("an answer");
        assert_eq!(response.headers()["x-claw-model"], name);
        let events = events(response).await;
        assert_eq!(said(&events), "half", "{name}");
        let ends = events.iter().filter(|event| *event == "[DONE]").count();
        assert_eq!(ends, 1, "{name}: {events:?}");
        assert_eq!(events.last().map(String::as_str), Some("[DONE]"), "{name}");
        let (status, answer) = gateway.ask(&path(point), &chat(name)).await;
        assert_eq!(
            (status, &answer["choices"][0]["message"]["content"]),
            (200, &json!("half")),
            "{name}: {answer}"
        );
    }))
    .await;
}
