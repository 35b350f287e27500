//! Every point at which an API can fail, streamed and not: before the first content another model answers, after it
//! the stream ends with an error that says so, and what was said is counted.

mod anthropic;
mod gemini;
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
    arguments.extend(patience());
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

/// The points of one dialect.
struct Dialect {
    before_content: &'static [Point],
    after_content: &'static [Point],
    harmless: &'static [Point],
}

const OPENAI: Dialect = Dialect {
    before_content: BEFORE_CONTENT,
    after_content: AFTER_CONTENT,
    harmless: HARMLESS,
};

fn all_points() -> impl Iterator<Item = &'static Point> {
    let dialects = [OPENAI, anthropic::DIALECT, gemini::DIALECT];
    dialects.into_iter().flat_map(|dialect| {
        let Dialect {
            before_content,
            after_content,
            harmless,
        } = dialect;
        [before_content, after_content, harmless]
            .into_iter()
            .flatten()
    })
}

/// The same gateway for another dialect, of which files tell.
async fn gateway_of(
    provider: &str,
    dialect: &Dialect,
    good: &Upstream,
    bad: &RawUpstream,
) -> Binary {
    let tables = [
        dialect.before_content,
        dialect.after_content,
        dialect.harmless,
    ];
    let points: Vec<&Point> = tables.into_iter().flatten().collect();
    let far = points.iter().map(|point| {
        json!({"name": point.name, "remote": {"provider": provider, "baseURL": bad.url(point)}})
    });
    let near = json!({"name": "good", "remote": {
        "provider": "OpenAI", "baseURL": format!("http://{}/v1", good.address),
    }});
    let routes: Vec<Value> = points
        .iter()
        .map(|point| {
            let name = point.name;
            json!({"pattern": format!("^/ask/{name}$"), "model": name, "fallback": "good"})
        })
        .collect();
    let objects = [
        json!({
            "apiVersion": "claw.dev/v1alpha1", "kind": "ClawGateway", "metadata": {"name": "desk"},
            "spec": {
                "size": "Small", "tls": {"disabled": {}}, "auth": {"anonymous": {}},
                "models": far.chain([near]).collect::<Vec<_>>(),
            },
        }),
        json!({
            "apiVersion": "claw.dev/v1alpha1", "kind": "ModelRoute", "metadata": {"name": "desk"},
            "spec": {"gatewayRef": {"name": "desk"}, "routes": routes},
        }),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let manifests = folder.path().join("manifests");
    fs::create_dir(&manifests).expect("a folder");
    let text = objects.map(|object| object.to_string()).join("\n---\n");
    fs::write(manifests.join("all.yaml"), text).expect("written");
    let mut arguments = vec!["--manifests".to_owned(), manifests.display().to_string()];
    arguments.extend(patience());
    Binary::start_in(folder, &arguments).await
}

fn patience() -> impl Iterator<Item = String> {
    let limits = [
        "--first-token-timeout",
        "--answer-timeout",
        "--idle-timeout",
    ];
    let pairs = limits.into_iter().map(|limit| [limit, PATIENCE]);
    pairs.flatten().map(str::to_owned)
}

async fn another_model_answers(gateway: &Binary, points: &[Point]) {
    join_all(points.iter().map(async |point| {
        let name = point.name;
        let response = gateway.chat(&path(point), &stream(name)).send().await;
        let response = response.expect("an answer");
        assert_eq!(response.status(), 200, "{name}");
        assert_eq!(response.headers()["x-claw-model"], "good", "{name}");
        let events = events(response).await;
        assert_eq!(said(&events), "Hello", "{name}");
        assert_eq!(events.last().map(String::as_str), Some("[DONE]"), "{name}");
        good_answers_whole(gateway, point).await;
    }))
    .await;
    let (_, metrics) = gateway.managed("/metrics").await;
    for Point { name, reasons, .. } in points {
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

async fn an_error_ends_the_stream(gateway: &Binary, points: &[Point]) {
    join_all(points.iter().map(async |point| {
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
        good_answers_whole(gateway, point).await;
    }))
    .await;
    let (_, metrics) = gateway.managed("/metrics").await;
    for Point { name, .. } in points {
        let line = format!(r#"tokens_total{{model="{name}",kind="completion"}} "#);
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
}

async fn the_answer_is_served(gateway: &Binary, points: &[Point]) {
    join_all(points.iter().map(async |point| {
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

#[tokio::test]
async fn before_the_first_content_another_model_answers() {
    let (good, bad) = (Upstream::start().await, RawUpstream::start().await);
    let gateway = gateway(&good, &bad).await;
    another_model_answers(&gateway, BEFORE_CONTENT).await;
}

#[tokio::test]
async fn after_the_first_content_an_error_ends_the_stream_and_usage_is_counted() {
    let (good, bad) = (Upstream::start().await, RawUpstream::start().await);
    let gateway = gateway(&good, &bad).await;
    an_error_ends_the_stream(&gateway, AFTER_CONTENT).await;
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
    the_answer_is_served(&gateway, HARMLESS).await;
}

#[tokio::test]
async fn anthropic_fails_as_safely() {
    fails_as_safely("Anthropic", &anthropic::DIALECT).await;
}

#[tokio::test]
async fn gemini_fails_as_safely() {
    fails_as_safely("Gemini", &gemini::DIALECT).await;
}

async fn fails_as_safely(provider: &str, dialect: &Dialect) {
    let (good, bad) = (Upstream::start().await, RawUpstream::start().await);
    let gateway = gateway_of(provider, dialect, &good, &bad).await;
    another_model_answers(&gateway, dialect.before_content).await;
    let before = bad.requests();
    an_error_ends_the_stream(&gateway, dialect.after_content).await;
    assert_eq!(
        bad.requests() - before,
        2 * dialect.after_content.len(),
        "no answer that has begun is asked for again"
    );
    the_answer_is_served(&gateway, dialect.harmless).await;
}
