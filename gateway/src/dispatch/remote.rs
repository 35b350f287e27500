//! Answers of remote APIs, and what they tell of an API's health.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use futures::Stream;

use crate::config::Remote;
use crate::error::GatewayError;
use crate::provider::{Health, KeyRing, Provider, UpstreamStream};
use crate::telemetry::ModelCall;
use crate::types::{ChatChunk, ChatRequest, Said, WholeAnswer};

/// The rest of a streamed answer.
pub(super) struct Answer {
    model: String,
    stream: UpstreamStream,
    health: Arc<Health>,
    keys: Arc<KeyRing>,
}

pub(super) async fn complete(
    provider: &Provider,
    model: &str,
    remote: &Remote,
    request: &ChatRequest,
    call: &ModelCall,
) -> Result<WholeAnswer, GatewayError> {
    let outcome = provider.complete(model, remote, request, call).await;
    match &outcome {
        Ok(_) => remote.health.succeeded(),
        Err(error) => note_failure(model, &remote.health, error),
    }
    outcome.map_err(|error| remote.keys.veil(model, error))
}

pub(super) async fn stream(
    provider: &Provider,
    model: &str,
    remote: &Remote,
    request: &ChatRequest,
    call: &ModelCall,
) -> Result<(Vec<ChatChunk>, Answer), GatewayError> {
    let (head, stream) = provider
        .stream(model, remote, request, call)
        .await
        .inspect_err(|error| note_failure(model, &remote.health, error))
        .map_err(|error| remote.keys.veil(model, error))?;
    remote.health.began();
    let answer = Answer {
        model: model.to_owned(),
        stream,
        health: Arc::clone(&remote.health),
        keys: Arc::clone(&remote.keys),
    };
    Ok((head, answer))
}

pub(super) fn note_failure(model: &str, health: &Health, error: &GatewayError) {
    let now = Instant::now();
    if let Some(rest) = health.failed(error, now) {
        tracing::warn!(
            model.name = model,
            reason = error.metric_label(),
            seconds = rest.left(now).as_secs(),
            "an API is left alone for a while"
        );
    }
}

impl Stream for Answer {
    type Item = Result<Said, GatewayError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(self.stream.poll_next(context));
        match &next {
            Ok(Some(_)) => {}
            Ok(None) => self.health.succeeded(),
            Err(error) => note_failure(&self.model, &self.health, error),
        }
        let next = next.map_err(|error| self.keys.veil(&self.model, error));
        Poll::Ready(next.transpose())
    }
}
