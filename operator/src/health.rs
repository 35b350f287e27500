//! Probes and metrics of the operator itself.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::State as Extracted,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};

use crate::metrics::Metrics;

/// The main loop gives a sign every few seconds; after so long without one it hangs.
const SILENCE: Duration = Duration::from_mins(1);
/// The content type that Prometheus asks for.
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the operator is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing useful yet: the API server has not answered, or the first lists are not in.
    Starting,
    /// Somebody else leads.
    Standby,
    /// It reconciles.
    Leading,
}

/// Whether the operator lives and is ready; clones share it.
#[derive(Clone, Debug)]
pub struct Health(Arc<Mutex<(State, Instant)>>);

impl Default for Health {
    fn default() -> Self {
        Self(Arc::new(Mutex::new((State::Starting, Instant::now()))))
    }
}

impl Health {
    /// The main loop is alive.
    pub fn beat(&self) {
        self.lock().1 = Instant::now();
    }

    /// The operator's doing changed.
    pub fn set(&self, state: State) {
        self.lock().0 = state;
    }

    fn is_live(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.lock().1) < SILENCE
    }

    fn is_ready(&self) -> bool {
        self.lock().0 != State::Starting
    }

    fn lock(&self) -> MutexGuard<'_, (State, Instant)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `/livez`, `/readyz` and `/metrics`.
pub fn router(health: Health, metrics: Metrics) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(health)
        .route("/metrics", get(encode).with_state(metrics))
}

async fn livez(Extracted(health): Extracted<Health>) -> (StatusCode, &'static str) {
    answer(health.is_live(Instant::now()), "the main loop hangs")
}

async fn readyz(Extracted(health): Extracted<Health>) -> (StatusCode, &'static str) {
    answer(health.is_ready(), "not in touch with the API server yet")
}

fn answer(good: bool, bad: &'static str) -> (StatusCode, &'static str) {
    if good {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, bad)
    }
}

async fn encode(Extracted(metrics): Extracted<Metrics>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, METRICS_TYPE)], metrics.encode())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_main_loop_is_not_alive() {
        let health = Health::default();
        assert!(health.is_live(Instant::now()));
        assert!(!health.is_live(Instant::now() + SILENCE));
    }

    #[test]
    fn a_standby_is_ready_and_a_beginner_is_not() {
        let health = Health::default();
        assert!(!health.is_ready());
        health.set(State::Standby);
        assert!(health.is_ready());
    }
}
