use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::config::Remote;
use crate::config::fixture;
use crate::metrics::Snapshot;

fn entry(name: &str) -> ModelEntry {
    ModelEntry {
        name: name.into(),
        backend: Backend::Unavailable {
            reason: "a test".into(),
        },
        retry_budget: Arc::default(),
    }
}

/// Without retries, and with time enough.
fn course<'a>(models: &'a [&'a ModelEntry], metrics: &'a Metrics) -> Course<'a> {
    Course {
        models,
        route: None,
        retries: None,
        deadline: Deadline::after(Duration::from_mins(1)),
        patience: Duration::from_secs(30),
        metrics,
    }
}

fn error(name: &str) -> GatewayError {
    let model = name.to_owned();
    match name {
        "slow" => GatewayError::UpstreamTimeout {
            model,
            awaited: "token",
            limit: Duration::from_secs(1),
        },
        "plain" => GatewayError::UnsupportedField {
            model,
            field: "tools".into(),
        },
        "strict" => GatewayError::invalid("temperature", "too hot"),
        _ => GatewayError::ModelUnavailable {
            model,
            reason: "gone".into(),
        },
    }
}

async fn run(names: &[&str]) -> Result<String, (u16, Metrics)> {
    let entries: Vec<_> = names.iter().map(|name| entry(name)).collect();
    let candidates: Vec<_> = entries.iter().collect();
    let metrics = Metrics::default();
    let result = course(&candidates, &metrics)
        .first_success(|entry| {
            Box::pin(async move {
                if entry.name == "good" {
                    Ok(())
                } else {
                    Err(error(&entry.name))
                }
            })
        })
        .await
        .map(|answered| answered.model);
    result.map_err(|error| (error.status().as_u16(), metrics))
}

#[tokio::test]
async fn the_first_model_that_can_answers() {
    assert_eq!(
        run(&["slow", "gone", "good", "slow"]).await.ok().as_deref(),
        Some("good")
    );
}

#[tokio::test]
async fn a_faulty_request_is_not_sent_to_another_model() {
    let (status, metrics) = run(&["strict", "good"]).await.expect_err("refused");
    assert_eq!(status, 400);
    assert!(
        !metrics
            .encode(&Snapshot::default())
            .expect("encodes")
            .contains("fallbacks_total{")
    );
}

#[tokio::test]
async fn the_last_failure_is_told_unless_it_is_only_about_ability() {
    let (status, metrics) = run(&["slow", "gone"]).await.expect_err("nobody");
    assert_eq!(status, 503);
    let text = metrics.encode(&Snapshot::default()).expect("encodes");
    assert!(
        text.contains(r#"fallbacks_total{model="slow",reason="upstream_timeout"} 1"#),
        "{text}"
    );
    assert_eq!(run(&["slow", "plain"]).await.expect_err("nobody").0, 504);
    assert_eq!(run(&["plain"]).await.expect_err("nobody").0, 400);
}

/// A remote model whose API has failed with this error, five times.
fn failing(name: &str, error: &GatewayError) -> ModelEntry {
    let mut entry = entry(name);
    let claw_crds::gateway_config::ModelBackend::Remote(config) =
        fixture::remote(name, "http://127.0.0.1:9/v1").backend
    else {
        unreachable!("the fixture is remote")
    };
    let remote = Remote {
        config,
        health: Arc::default(),
        keys: Arc::default(),
    };
    for _ in 0..5 {
        remote.health.failed(error, Instant::now());
    }
    entry.backend = Backend::Remote(remote);
    entry
}

/// The names that were asked, and what came of it.
async fn asked(entries: &[ModelEntry]) -> (Vec<String>, Result<String, GatewayError>, String) {
    let asked: Mutex<Vec<String>> = Mutex::default();
    let metrics = Metrics::default();
    let candidates: Vec<_> = entries.iter().collect();
    let outcome = course(&candidates, &metrics)
        .first_success(|entry| {
            asked.lock().expect("no panic").push(entry.name.clone());
            let outcome = match entry.name.as_str() {
                "good" => Ok(()),
                name => Err(error(name)),
            };
            Box::pin(std::future::ready(outcome))
        })
        .await;
    let metrics = metrics.encode(&Snapshot::default()).expect("encodes");
    let outcome = outcome.map(|answered| answered.model);
    (asked.into_inner().expect("no panic"), outcome, metrics)
}

#[tokio::test(start_paused = true)]
async fn a_try_ends_at_the_deadline_unless_it_surely_ends_before() {
    let metrics = Metrics::default();
    let [near, far] = [entry("near"), failing("far", &error("gone"))];
    let candidates = [&near];
    for (total, needs_timer) in [(89, true), (91, false)] {
        let course = Course {
            deadline: Deadline::after(Duration::from_secs(total)),
            ..course(&candidates, &metrics)
        };
        assert!(!course.ends_by_itself(&near));
        assert_eq!(!course.ends_by_itself(&far), needs_timer);
    }
    let candidates = [&far];
    let begin = tokio::time::Instant::now();
    let outcome = course(&candidates, &metrics)
        .first_success(|_| Box::pin(std::future::pending::<Result<(), GatewayError>>()))
        .await;
    let error = outcome.map(|answered| answered.model).expect_err("late");
    assert!(
        matches!(error, GatewayError::TotalTimeout { .. }),
        "{error}"
    );
    assert_eq!(begin.elapsed(), Duration::from_mins(1));
}

fn busy() -> GatewayError {
    GatewayError::UpstreamRateLimited {
        model: "busy".into(),
        retry_after: Some(Duration::from_mins(1)),
    }
}

#[tokio::test]
async fn an_api_that_keeps_failing_is_asked_after_all_others() {
    let (names, outcome, metrics) = asked(&[failing("slow", &error("slow")), entry("good")]).await;
    assert_eq!(names, ["good"]);
    assert_eq!(outcome.expect("an answer"), "good");
    assert!(
        metrics.contains(r#"fallbacks_total{model="slow",reason="resting"} 1"#),
        "{metrics}"
    );
    let (names, ..) = asked(&[failing("slow", &error("slow")), entry("gone")]).await;
    assert_eq!(names, ["gone", "slow"]);
    let (names, ..) = asked(&[failing("slow", &error("slow"))]).await;
    assert_eq!(names, ["slow"], "nobody else is there");
}

#[tokio::test]
async fn an_api_that_asked_for_a_rest_is_not_asked_at_all() {
    let (names, outcome, _) = asked(&[failing("busy", &busy())]).await;
    assert_eq!(names, Vec::<String>::new());
    let error = outcome.expect_err("nobody");
    assert_eq!(error.status().as_u16(), 429);
    assert!(error.retry_after() > Some(Duration::from_secs(50)));
    let (names, ..) = asked(&[failing("busy", &busy()), entry("good")]).await;
    assert_eq!(names, ["good"]);
}

mod repetition {
    use std::collections::HashMap;

    use http::StatusCode;

    use super::*;

    const TWICE: RetriesConfig = RetriesConfig {
        attempts: 2,
        backoff_ms: 100,
        max_backoff_ms: 1000,
    };

    /// Answers when it is asked for the time of this number, from 1, and fails like this before.
    type Script = HashMap<&'static str, (usize, fn() -> GatewayError)>;

    fn broken() -> GatewayError {
        GatewayError::UpstreamStatus {
            model: "far".into(),
            status: StatusCode::BAD_GATEWAY,
        }
    }

    struct Outcome {
        asked: Vec<String>,
        answered: Result<String, GatewayError>,
        metrics: String,
        after: Duration,
    }

    async fn run(
        entries: &[ModelEntry],
        script: &Script,
        retries: RetriesConfig,
        total: Duration,
    ) -> Outcome {
        let metrics = Metrics::default();
        let models: Vec<_> = entries.iter().collect();
        let course = Course {
            models: &models,
            route: None,
            retries: Some(retries),
            deadline: Deadline::after(total),
            patience: Duration::from_secs(30),
            metrics: &metrics,
        };
        let asked: Mutex<Vec<String>> = Mutex::default();
        let begin = tokio::time::Instant::now();
        let answered = course
            .first_success(|entry| {
                let mut asked = asked.lock().expect("no panic");
                asked.push(entry.name.clone());
                let times = asked.iter().filter(|name| **name == entry.name).count();
                let (needed, error) = script[entry.name.as_str()];
                Box::pin(async move {
                    if needed == 0 {
                        std::future::pending::<()>().await;
                    }
                    if times < needed { Err(error()) } else { Ok(()) }
                })
            })
            .await
            .map(|answered| answered.model);
        Outcome {
            asked: asked.into_inner().expect("no panic"),
            answered,
            metrics: metrics.encode(&Snapshot::default()).expect("encodes"),
            after: begin.elapsed(),
        }
    }

    const MINUTE: Duration = Duration::from_mins(1);

    #[tokio::test(start_paused = true)]
    async fn a_model_that_heals_is_asked_again_after_growing_pauses() {
        let script = Script::from([("far", (3, broken as _)), ("good", (1, broken as _))]);
        let entries = [entry("far"), entry("good")];
        let outcome = run(&entries, &script, TWICE, MINUTE).await;
        assert_eq!(outcome.answered.expect("an answer"), "far");
        assert_eq!(outcome.asked, ["far", "far", "far"]);
        let pauses = outcome.after;
        assert!(
            pauses >= Duration::from_millis(150) && pauses <= Duration::from_millis(310),
            "{pauses:?}"
        );
        let line = r#"retries_total{model="far",reason="upstream_error"} 2"#;
        assert!(outcome.metrics.contains(line), "{}", outcome.metrics);
        assert!(!outcome.metrics.contains("fallbacks_total{"));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_does_not_is_followed_by_the_next() {
        let script = Script::from([("far", (9, broken as _)), ("good", (1, broken as _))]);
        let entries = [entry("far"), entry("good")];
        let outcome = run(&entries, &script, TWICE, MINUTE).await;
        assert_eq!(outcome.asked, ["far", "far", "far", "good"]);
        assert_eq!(outcome.answered.expect("an answer"), "good");
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_heal_is_not_repeated() {
        let gone = || error("gone");
        let script = Script::from([("far", (9, gone as _)), ("good", (1, broken as _))]);
        let entries = [entry("far"), entry("good")];
        let outcome = run(&entries, &script, TWICE, MINUTE).await;
        assert_eq!(outcome.asked, ["far", "good"]);
        assert!(!outcome.metrics.contains("retries_refused_total{"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_that_would_outlast_the_request_is_not_begun() {
        let script = Script::from([("far", (9, broken as _))]);
        let slow = RetriesConfig {
            backoff_ms: 60_000,
            max_backoff_ms: 60_000,
            ..TWICE
        };
        let total = Duration::from_secs(5);
        let outcome = run(&[entry("far")], &script, slow, total).await;
        assert_eq!(outcome.answered.expect_err("nobody").status(), 502);
        assert_eq!(outcome.after, Duration::ZERO);
        let line = r#"retries_refused_total{model="far",cause="time"} 1"#;
        assert!(outcome.metrics.contains(line), "{}", outcome.metrics);
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_not_multiplied() {
        let script = Script::from([("far", (9, broken as _))]);
        let far = [entry("far")];
        let runs = (0..50).map(|_| run(&far, &script, TWICE, MINUTE));
        let outcomes = futures::future::join_all(runs).await;
        let asked: usize = outcomes.iter().map(|outcome| outcome.asked.len()).sum();
        assert!(asked > 50, "some are repeated");
        // Ten at a time may be, each twice; without a budget it would be 150.
        assert!(asked <= 50 + 20, "{asked}");
        let refused = r#"retries_refused_total{model="far",cause="budget"} 1"#;
        assert!(outcomes.iter().any(|one| one.metrics.contains(refused)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_wish_of_the_api_sends_the_request_on() {
        let script = Script::from([("far", (9, busy as _)), ("good", (1, broken as _))]);
        let entries = [entry("far"), entry("good")];
        let outcome = run(&entries, &script, TWICE, MINUTE).await;
        assert_eq!(outcome.asked, ["far", "good"]);
        let line = r#"retries_refused_total{model="far",cause="resting"} 1"#;
        assert!(outcome.metrics.contains(line), "{}", outcome.metrics);
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_of_a_request_is_the_time_of_all_its_models() {
        let script = Script::from([("far", (9, broken as _)), ("slow", (0, broken as _))]);
        let entries = [entry("far"), entry("slow"), entry("good")];
        let total = Duration::from_secs(5);
        let outcome = run(&entries, &script, TWICE, total).await;
        assert_eq!(outcome.asked, ["far", "far", "far", "slow"]);
        assert_eq!(outcome.after, total);
        let error = outcome.answered.expect_err("too late");
        assert_eq!(
            (error.status().as_u16(), error.metric_label()),
            (504, "total_timeout")
        );
        let text = error.to_string();
        assert!(text.contains("5 s") && text.contains("`slow`"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_is_blamed_for_silence_only_if_it_had_all_the_time() {
        let silent = || {
            let mut entry = failing("slow", &error("plain"));
            entry.name = "slow".into();
            entry
        };
        let script = Script::from([("slow", (0, broken as _)), ("far", (9, broken as _))]);
        let total = Duration::from_secs(1);
        let (first, later) = ([silent()], [entry("far"), silent()]);
        for _ in 0..5 {
            run(&first, &script, TWICE, total)
                .await
                .answered
                .expect_err("silent");
            run(&later, &script, TWICE, total)
                .await
                .answered
                .expect_err("silent");
        }
        assert!(rest(&first[0]).is_some(), "it had all the time, five times");
        assert!(rest(&later[1]).is_none());
    }
}
