//! Every point at which an API can fail, streamed and not: before the first content another model answers, after it
//! the stream ends with an error that says so, and what was said is counted.

mod anthropic;
mod gemini;
mod official_clients;
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
    let mut arguments = good.models(&["good", "idle"]);
    let all = [BEFORE_CONTENT, AFTER_CONTENT, HARMLESS];
    for point in all.into_iter().flatten() {
        let name = point.name;
        let _ = writeln!(
            routes,
            "- {{pattern: '^/ask/{name}$', model: {name}, fallback: good}}\n\
             - {{pattern: '^/again/{name}$', model: {name}, fallback: good, \
             retries: {{attempts: 1, backoff: 10ms}}}}\n\
             - {{pattern: '^/share/{name}$', backends: [{{model: {name}}}, {{model: good}}], fallback: idle}}\n\
             - {{pattern: '^/short/{name}$', model: {name}, timeouts: {{total: 1s}}}}\n\
             - {{alias: 'alias-of-{name}', model: {name}, fallback: good}}"
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

/// The other model answers, streamed and whole.
async fn good_answers(gateway: &Binary, path: &str, name: &str) {
    let response = gateway.chat(path, &stream(name)).send().await;
    let response = response.expect("an answer");
    assert_eq!(response.headers()["x-claw-model"], "good", "{name}");
    assert_eq!(said(&events(response).await), "Hello", "{name}");
    good_answers_whole(gateway, path, name).await;
}

/// Without a stream, the other model's answer comes.
async fn good_answers_whole(gateway: &Binary, path: &str, name: &str) {
    let (status, answer) = gateway.ask(path, &chat(name)).await;
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
        good_answers_whole(gateway, &path(point), point.name).await;
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
        good_answers_whole(gateway, &path(point), point.name).await;
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

/// The points at which an API says nothing, however long one waits.
fn silent() -> Vec<&'static Point> {
    let points = [BEFORE_CONTENT, AFTER_CONTENT].into_iter().flatten();
    points
        .filter(|point| point.reasons == ["upstream_timeout"; 2])
        .collect()
}

#[tokio::test]
async fn the_total_time_ends_what_is_silent() {
    let (good, bad) = (Upstream::start().await, RawUpstream::start().await);
    let gateway = gateway(&good, &bad).await;
    assert!(silent().len() >= 4);
    join_all(silent().into_iter().map(async |point| {
        let name = point.name;
        let path = format!("/short/{name}");
        let is_begun = AFTER_CONTENT.iter().any(|other| other.name == name);
        let response = gateway.chat(&path, &stream(name)).send().await;
        let response = response.expect("an answer");
        let error: Value = if is_begun {
            assert_eq!(response.status(), 200, "{name}");
            let events = events(response).await;
            assert_eq!(said(&events), "half", "{name}");
            let [.., event, data] = events.as_slice() else {
                panic!("{name}: {events:?}")
            };
            assert_eq!(event, "error", "{name}");
            serde_json::from_str(data).expect("JSON")
        } else {
            assert_eq!(response.status(), 504, "{name}");
            response.json().await.expect("JSON")
        };
        assert_eq!(error["error"]["code"], "total_timeout", "{name}: {error}");
        let (status, error) = gateway.ask(&path, &chat(name)).await;
        assert_eq!(
            (status, &error["error"]["code"]),
            (504, &json!("total_timeout")),
            "{name}: {error}"
        );
        let message = error["error"]["message"].as_str().expect("a message");
        assert!(
            message.contains("1 s") && message.contains(name),
            "{message}"
        );
    }))
    .await;
    let (_, metrics) = gateway.managed("/metrics").await;
    let line = r#"tokens_total{model="stalls",kind="completion"} "#;
    assert!(metrics.contains(line), "{line} is not in {metrics}");
}

#[tokio::test]
async fn what_can_heal_is_asked_again_and_then_another_model() {
    let (good, bad) = (Upstream::start().await, RawUpstream::start().await);
    let gateway = gateway(&good, &bad).await;
    join_all(BEFORE_CONTENT.iter().map(async |point| {
        let name = point.name;
        let path = format!("/again/{name}");
        good_answers(&gateway, &path, name).await;
    }))
    .await;
    let (_, metrics) = gateway.managed("/metrics").await;
    for point in BEFORE_CONTENT {
        let name = point.name;
        for reason in point.reasons {
            let line = format!(r#"retries_total{{model="{name}",reason="{reason}"}}"#);
            let times = point.reasons.iter().filter(|other| **other == reason);
            let expected = format!("{line} {}", times.count());
            assert_eq!(
                metrics.contains(&expected),
                point.heals(reason),
                "{expected}"
            );
            assert_eq!(metrics.contains(&line), point.heals(reason), "{line}");
        }
    }
}

#[tokio::test]
async fn what_a_weighted_model_cannot_answer_another_one_does_before_any_fallback() {
    let (good, bad) = (Upstream::start().await, RawUpstream::start().await);
    let gateway = gateway(&good, &bad).await;
    join_all(BEFORE_CONTENT.iter().map(async |point| {
        let name = point.name;
        let path = format!("/share/{name}");
        // Two turns each: one of both models comes first at least once.
        for _ in 0..2 {
            good_answers(&gateway, &path, name).await;
        }
    }))
    .await;
    let asked = good.requests();
    assert!(
        asked.iter().all(|body| body["model"] == "good"),
        "no fallback"
    );
    assert!(bad.requests() > 0);
}

#[tokio::test]
async fn an_alias_fails_over_and_breaks_off_as_a_path_does() {
    let (good, bad) = (Upstream::start().await, RawUpstream::start().await);
    let gateway = gateway(&good, &bad).await;
    let ask = async |point: &Point| {
        let alias = format!("alias-of-{}", point.name);
        let sent = gateway.chat("/v1/chat/completions", &stream(&alias)).send();
        let response = sent.await.expect("an answer");
        let model = response.headers()["x-claw-model"].to_str().expect("text");
        let model = model.to_owned();
        let (status, answer) = gateway.ask("/v1/chat/completions", &chat(&alias)).await;
        assert_eq!(
            (status, &answer["model"]),
            (200, &json!("good")),
            "{alias}: {answer}"
        );
        (model, events(response).await)
    };
    join_all(BEFORE_CONTENT.iter().map(async |point| {
        let (model, events) = ask(point).await;
        assert_eq!((model.as_str(), said(&events).as_str()), ("good", "Hello"));
    }))
    .await;
    join_all(AFTER_CONTENT.iter().map(async |point| {
        let (model, events) = ask(point).await;
        assert_eq!(model, point.name);
        assert!(events.iter().any(|event| event == "error"), "{events:?}");
        assert!(!events.iter().any(|event| event == "[DONE]"), "{events:?}");
    }))
    .await;
}
