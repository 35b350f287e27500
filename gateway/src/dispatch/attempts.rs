//! One model after the other. An API that is left alone for a while is passed over.

use std::collections::VecDeque;
use std::time::Instant;

use futures::future::BoxFuture;

use super::Answered;
use crate::config::{Backend, ModelEntry, chain};
use crate::error::GatewayError;
use crate::metrics::Metrics;
use crate::provider::{Cause, Rest};

/// Why a model is passed over that is left alone.
const RESTING: &str = "resting";

/// The first answer. Without any, the error that tells the caller most: what went wrong with the last model, unless
/// that one merely cannot do what an earlier one could have done.
pub(super) async fn first_success<'a, T>(
    candidates: &[&'a ModelEntry],
    metrics: &Metrics,
    mut attempt: impl FnMut(&'a ModelEntry) -> BoxFuture<'a, Result<T, GatewayError>>,
) -> Result<Answered<T>, GatewayError> {
    let mut failure = None;
    let mut queue: VecDeque<Turn<'a>> = candidates.iter().map(|entry| Turn::first(entry)).collect();
    while let Some(turn) = queue.pop_front() {
        let entry = turn.entry;
        let error = match turn.rest() {
            Some(rest) => {
                if !queue.is_empty() {
                    metrics.fallback(&entry.name, RESTING);
                }
                // Asked after all others: better one that has failed than nobody.
                if matches!(rest.cause, Cause::Failures(_)) {
                    queue.push_back(turn.last_resort());
                    continue;
                }
                // It would only be asked too early.
                GatewayError::UpstreamRateLimited {
                    model: entry.name.clone(),
                    retry_after: Some(rest.left(Instant::now())),
                }
            }
            None => match attempt(entry).await {
                Ok(answer) => {
                    return Ok(Answered {
                        model: entry.name.clone(),
                        answer,
                    });
                }
                Err(error) if !error.is_retryable() => return Err(error),
                Err(error) => {
                    if !queue.is_empty() {
                        tell(entry, &error, metrics);
                    }
                    error
                }
            },
        };
        failure = Some(match failure {
            Some(earlier) if is_about_ability(&error) => earlier,
            _ => error,
        });
    }
    Err(failure.unwrap_or(GatewayError::Internal))
}

/// A model that is to be asked.
struct Turn<'a> {
    entry: &'a ModelEntry,
    is_last_resort: bool,
}

impl<'a> Turn<'a> {
    fn first(entry: &'a ModelEntry) -> Self {
        Self {
            entry,
            is_last_resort: false,
        }
    }

    fn last_resort(self) -> Self {
        Self {
            is_last_resort: true,
            ..self
        }
    }

    /// What keeps it from being asked now.
    fn rest(&self) -> Option<Rest> {
        match &self.entry.backend {
            Backend::Remote(remote) if !self.is_last_resort => {
                remote.health.admit(Instant::now()).err()
            }
            _ => None,
        }
    }
}

fn tell(entry: &ModelEntry, error: &GatewayError, metrics: &Metrics) {
    metrics.fallback(&entry.name, error.metric_label());
    tracing::warn!(
        model.name = entry.name,
        error = chain(error),
        "a model did not answer, the next one is asked"
    );
}

fn is_about_ability(error: &GatewayError) -> bool {
    matches!(
        error,
        GatewayError::UnsupportedField { .. }
            | GatewayError::UnsupportedByProvider { .. }
            | GatewayError::PromptTooLong { .. }
    )
}

#[cfg(test)]
mod tests {
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
        let result = first_success(&candidates, &metrics, |entry| {
            Box::pin(async move {
                if entry.name == "good" {
                    Ok(())
                } else {
                    Err(error(&entry.name))
                }
            })
        })
        .await;
        result
            .map(|answered| answered.model)
            .map_err(|error| (error.status().as_u16(), metrics))
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
        let outcome = first_success(&candidates, &metrics, |entry| {
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

    fn busy() -> GatewayError {
        GatewayError::UpstreamRateLimited {
            model: "busy".into(),
            retry_after: Some(Duration::from_mins(1)),
        }
    }

    #[tokio::test]
    async fn an_api_that_keeps_failing_is_asked_after_all_others() {
        let (names, outcome, metrics) =
            asked(&[failing("slow", &error("slow")), entry("good")]).await;
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
}
