//! One model after the other, each as often as its rule allows, all within the time of the request. An API that is left
//! alone for a while is passed over.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use claw_crds::gateway_config::RetriesConfig;
use futures::future::BoxFuture;

use super::limits::Deadline;
use super::retry::{self, Repetition};
use super::{Answered, remote};
use crate::config::{Backend, ModelEntry, chain};
use crate::error::GatewayError;
use crate::metrics::Metrics;
use crate::provider::{Cause, Rest};

/// Why a model is passed over, or not asked again, that is left alone.
const RESTING: &str = "resting";
/// Why a model is not asked again: too many requests for it are repetitions already.
const BUDGET: &str = "budget";
/// Why a model is not asked again: the request would be over before.
const TIME: &str = "time";

/// What comes before a try, the database's answer to what it may use among it, takes seconds at worst.
const BEFORE_A_TRY: Duration = Duration::from_mins(1);

/// What of a request says how it is tried.
pub(super) struct Course<'a> {
    pub(super) models: &'a [&'a ModelEntry],
    pub(super) route: Option<&'a str>,
    pub(super) retries: Option<RetriesConfig>,
    pub(super) deadline: Deadline,
    /// What one try of a remote model takes at most by itself, beside what comes before it.
    pub(super) patience: Duration,
    pub(super) metrics: &'a Metrics,
}

impl<'a> Course<'a> {
    /// The first answer. Without any, the error that tells the caller most: what went wrong with the last model, unless
    /// that one merely cannot do what an earlier one could have done.
    pub(super) async fn first_success<T>(
        &self,
        mut attempt: impl FnMut(&'a ModelEntry) -> BoxFuture<'a, Result<T, GatewayError>>,
    ) -> Result<Answered<T>, GatewayError> {
        let mut failure = None;
        let mut queue: VecDeque<Turn<'a>> =
            self.models.iter().map(|entry| Turn::first(entry)).collect();
        let mut is_first = true;
        while let Some(turn) = queue.pop_front() {
            let entry = turn.entry;
            let error = match turn.rest() {
                Some(rest) => {
                    if !queue.is_empty() {
                        self.metrics.fallback(&entry.name, RESTING);
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
                None => match self.ask(entry, is_first, &mut attempt).await {
                    Ok(answer) => {
                        return Ok(Answered {
                            model: entry.name.clone(),
                            route: self.route.map(str::to_owned),
                            answer,
                        });
                    }
                    Err(error) if !error.is_retryable() => return Err(error),
                    Err(error) => {
                        if !queue.is_empty() {
                            tell(entry, &error, self.metrics);
                        }
                        is_first = false;
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

    /// One model, and again.
    async fn ask<T>(
        &self,
        entry: &'a ModelEntry,
        is_first: bool,
        attempt: &mut impl FnMut(&'a ModelEntry) -> BoxFuture<'a, Result<T, GatewayError>>,
    ) -> Result<T, GatewayError> {
        let _waiting = entry.retry_budget.wait();
        let mut number = 0;
        // Given back only when its outcome is known.
        let mut repetition = None;
        loop {
            let outcome = if self.ends_by_itself(entry) {
                Ok(attempt(entry).await)
            } else {
                tokio::time::timeout_at(self.deadline.at, attempt(entry)).await
            };
            let Ok(outcome) = outcome else {
                let error = self.deadline.passed(&entry.name);
                if is_first && number == 0 {
                    blame(entry, self.deadline);
                }
                return Err(error);
            };
            let error = match outcome {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            drop(repetition.take());
            let Some((granted, pause)) = self.repetition(entry, number, &error) else {
                return Err(error);
            };
            repetition.replace(granted);
            tokio::time::sleep(pause).await;
            if rest(entry).is_some() {
                self.metrics.retry_refused(&entry.name, RESTING);
                return Err(error);
            }
            self.metrics.retry(&entry.name, error.metric_label());
            tracing::info!(
                model.name = entry.name,
                error = chain(&error),
                "a model did not answer and is asked again"
            );
            number += 1;
        }
    }

    /// Whether a try is over before the request has to be: then one timer does for both.
    fn ends_by_itself(&self, entry: &ModelEntry) -> bool {
        let longest = self.patience.saturating_add(BEFORE_A_TRY);
        matches!(entry.backend, Backend::Remote(_)) && longest < self.deadline.left()
    }

    /// The right to ask a model again, and when.
    fn repetition(
        &self,
        entry: &ModelEntry,
        number: u32,
        error: &GatewayError,
    ) -> Option<(Repetition, Duration)> {
        let retries = self.retries.filter(|retries| number < retries.attempts)?;
        if !retry::can_heal(error) {
            return None;
        }
        let granted = self.granted(entry, &retries, number, error);
        granted
            .map_err(|cause| self.metrics.retry_refused(&entry.name, cause))
            .ok()
    }

    fn granted(
        &self,
        entry: &ModelEntry,
        retries: &RetriesConfig,
        number: u32,
        error: &GatewayError,
    ) -> Result<(Repetition, Duration), &'static str> {
        let now = Instant::now();
        let rest = match &entry.backend {
            Backend::Remote(remote) => remote.health.rest(now),
            _ => None,
        };
        let wish = match rest {
            Some(rest) if matches!(rest.cause, Cause::Failures(_)) => return Err(RESTING),
            Some(rest) => Some(rest.left(now)),
            None => error.retry_after(),
        };
        let pause = retry::pause(retries, number, wish, rand::random()).ok_or(RESTING)?;
        if pause >= self.deadline.left() {
            return Err(TIME);
        }
        let repetition = entry.retry_budget.repeat().ok_or(BUDGET)?;
        Ok((repetition, pause))
    }
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
        if self.is_last_resort {
            return None;
        }
        rest(self.entry)
    }
}

/// What keeps a model from being asked now. Where a rest has just ended, the caller is the one that tries.
fn rest(entry: &ModelEntry) -> Option<Rest> {
    match &entry.backend {
        Backend::Remote(remote) => remote.health.admit(Instant::now()).err(),
        _ => None,
    }
}

/// An API that had all the time of a request and said nothing has failed. One that had what others left may be innocent.
fn blame(entry: &ModelEntry, deadline: Deadline) {
    if let Backend::Remote(remote) = &entry.backend {
        let error = GatewayError::UpstreamTimeout {
            model: entry.name.clone(),
            awaited: "answer",
            limit: deadline.total(),
        };
        remote::note_failure(&entry.name, &remote.health, &error);
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
            | GatewayError::UnsupportedTask { .. }
            | GatewayError::PromptTooLong { .. }
            | GatewayError::InputTooLong { .. }
    )
}

#[cfg(test)]
mod tests;
