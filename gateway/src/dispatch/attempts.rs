//! One model after the other.

use futures::future::BoxFuture;

use super::Answered;
use crate::config::{ModelEntry, chain};
use crate::error::GatewayError;
use crate::metrics::Metrics;

/// The first answer. Without any, the error that tells the caller most: what went wrong with the last model, unless
/// that one merely cannot do what an earlier one could have done.
pub(super) async fn first_success<'a, T>(
    candidates: &[&'a ModelEntry],
    metrics: &Metrics,
    mut attempt: impl FnMut(&'a ModelEntry) -> BoxFuture<'a, Result<T, GatewayError>>,
) -> Result<Answered<T>, GatewayError> {
    let mut failure: Option<GatewayError> = None;
    for (index, entry) in candidates.iter().enumerate() {
        let error = match attempt(entry).await {
            Ok(answer) => {
                return Ok(Answered {
                    model: entry.name.clone(),
                    answer,
                });
            }
            Err(error) if !error.is_retryable() => return Err(error),
            Err(error) => error,
        };
        if index + 1 < candidates.len() {
            metrics.fallback(&entry.name, error.metric_label());
            tracing::warn!(
                model.name = entry.name,
                error = chain(&error),
                "a model did not answer, the next one is asked"
            );
        }
        failure = Some(match failure {
            Some(earlier) if is_about_ability(&error) => earlier,
            _ => error,
        });
    }
    Err(failure.unwrap_or(GatewayError::Internal))
}

fn is_about_ability(error: &GatewayError) -> bool {
    matches!(
        error,
        GatewayError::UnsupportedField { .. } | GatewayError::PromptTooLong { .. }
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Backend;
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
}
