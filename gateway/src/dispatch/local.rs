//! Answers of engines in this process.

mod refusal;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use prometheus_client::metrics::histogram::Histogram;
use serde_json::Map;
use tokio::sync::{mpsc, oneshot};

use super::computation::compute;
use super::held;
use super::limits::LocalLimits;
use super::stream::Rest;
use crate::conversion::{EngineAnswer, Whole, document_request, engine_request};
use crate::error::{EngineFailure, GatewayError};
use crate::metrics::Metrics;
use crate::models::{Cancellation, Engine, EngineEvent, Lease, Loaded, ModelSlot, SubmitError};
use crate::types::{
    ChatChunk, ChatCompletion, ChatRequest, Choice, ChunkChoice, Delta, Usage, completion_id,
    unix_seconds,
};
use refusal::refusal;

/// Who asks a model, and where that is counted.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) client: &'a Arc<str>,
    pub(super) metrics: &'a Arc<Metrics>,
}

/// The events of one generation. Dropping it cancels the generation.
pub(super) struct Generation {
    model: String,
    id: String,
    answer: EngineAnswer,
    /// Unbounded, because the engine's thread must never wait for a slow client; what can pile up is one answer,
    /// whose length the context bounds.
    events: mpsc::UnboundedReceiver<EngineEvent>,
    is_over: bool,
    idle: Option<Duration>,
    /// Where it is counted how long it was in the queue.
    waits: Histogram,
    cancellation: Cancellation,
    /// Keeps the model loaded.
    _lease: Lease,
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.cancellation.cancel();
    }
}

/// `begins` is told when the answer begins.
pub(super) async fn complete(
    model: &str,
    slot: &Arc<ModelSlot>,
    limits: LocalLimits,
    request: &ChatRequest,
    asker: Asker<'_>,
    begins: Option<oneshot::Sender<()>>,
) -> Result<ChatCompletion, GatewayError> {
    within(
        limits.answer,
        model,
        "answer",
        whole(model, slot, request, asker, begins),
    )
    .await
}

pub(super) async fn stream(
    model: &str,
    slot: &Arc<ModelSlot>,
    limits: LocalLimits,
    request: &ChatRequest,
    asker: Asker<'_>,
) -> Result<(Vec<ChatChunk>, Generation), GatewayError> {
    let begun = begin(model, slot, request, asker);
    let (head, mut generation) = within(limits.first_token, model, "first token", begun).await?;
    generation.idle = limits.idle;
    Ok((head, generation))
}

/// The same without waiting for the first token.
pub(super) async fn start(
    model: &str,
    slot: &Arc<ModelSlot>,
    limits: LocalLimits,
    request: &ChatRequest,
    asker: Asker<'_>,
) -> Result<(Vec<ChatChunk>, Generation), GatewayError> {
    let (head, mut generation) = queue(model, slot, request, asker).await?;
    generation.idle = limits.idle;
    Ok((head, generation))
}

/// The outcome, unless it takes longer than it may.
pub(super) async fn within<T>(
    limit: Option<Duration>,
    model: &str,
    awaited: &'static str,
    outcome: impl Future<Output = Result<T, GatewayError>>,
) -> Result<T, GatewayError> {
    let Some(limit) = limit else {
        return outcome.await;
    };
    let outcome = tokio::time::timeout(limit, outcome).await;
    outcome.unwrap_or_else(|_| {
        Err(GatewayError::ModelTimeout {
            model: model.to_owned(),
            awaited,
            limit,
        })
    })
}

async fn whole(
    model: &str,
    slot: &Arc<ModelSlot>,
    request: &ChatRequest,
    asker: Asker<'_>,
    mut begins: Option<oneshot::Sender<()>>,
) -> Result<ChatCompletion, GatewayError> {
    let mut generation = Generation::start(model, slot, request, asker).await?;
    let mut whole = Whole::default();
    while let Some(event) = generation.event().await? {
        let has_begun = !matches!(event, EngineEvent::Started { .. });
        if has_begun && let Some(begins) = begins.take() {
            // Nobody waits for it where the request is over.
            let _ = begins.send(());
        }
        match event {
            EngineEvent::Started { .. } => {}
            EngineEvent::Text(piece) => whole.text(&piece),
            EngineEvent::ToolCall(piece) => whole.call(&piece),
            EngineEvent::LogProbabilities(told) => generation.answer.log_probabilities(told),
            EngineEvent::Finished {
                reason,
                prompt_tokens,
                cached_tokens,
                completion_tokens,
            } => {
                let usage = Usage::new(prompt_tokens, completion_tokens).with_cached(cached_tokens);
                let choice = generation.answer.whole(whole, reason);
                return Ok(completion(generation.id.clone(), model, choice, usage));
            }
            EngineEvent::Failed(detail) => return Err(generation.failed(detail)),
        }
    }
    Err(generation.failed("the engine ended without an event".to_owned()))
}

async fn begin(
    model: &str,
    slot: &Arc<ModelSlot>,
    request: &ChatRequest,
    asker: Asker<'_>,
) -> Result<(Vec<ChatChunk>, Generation), GatewayError> {
    let (mut head, mut generation) = queue(model, slot, request, asker).await?;
    while let Some(chunk) = generation.next_chunk().await? {
        let has_content = chunk.has_content();
        head.push(chunk);
        if has_content {
            return Ok((head, generation));
        }
    }
    Err(generation.failed("the engine ended without an event".to_owned()))
}

/// An answer that is in the queue, with its first piece, which says nothing.
async fn queue(
    model: &str,
    slot: &Arc<ModelSlot>,
    request: &ChatRequest,
    asker: Asker<'_>,
) -> Result<(Vec<ChatChunk>, Generation), GatewayError> {
    let generation = Generation::start(model, slot, request, asker).await?;
    let head = vec![ChatChunk::piece(&generation.id, model, Delta::role(), None)];
    Ok((head, generation))
}

/// The length of a prompt, as the model itself counts it.
pub(super) async fn count_tokens(
    model: &str,
    slot: Arc<ModelSlot>,
    request: &ChatRequest,
) -> Result<u64, GatewayError> {
    let engine_request = engine_request(request, model)?;
    let lease = held::engine(model, &slot).await?;
    let engine = speaking(&lease, model, request)?;
    compute(move || {
        let counted = engine.count_tokens(&engine_request);
        drop(engine);
        drop(lease);
        counted
    })
    .await?
    .map_err(|error| refusal(model, request, error))
}

impl Generation {
    async fn start(
        model: &str,
        slot: &Arc<ModelSlot>,
        request: &ChatRequest,
        asker: Asker<'_>,
    ) -> Result<Self, GatewayError> {
        let mut engine_request = engine_request(request, model)?;
        let lease = held::engine(model, slot).await?;
        let engine = speaking(&lease, model, request)?;
        if engine.reads_documents() {
            engine_request = document_request(request, model)?;
        }
        asker.client.as_ref().clone_into(&mut engine_request.client);
        let cancellation = engine_request.cancellation.clone();
        let (sender, events) = mpsc::unbounded_channel();
        let sink = Box::new(move |event| match sender.send(event) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        });
        // Tokenizing a long conversation and preparing a form take a while, which other requests must not wait for.
        let submit = move || engine.submit(engine_request, sink);
        let lease = submitted(model, request, lease, submit).await?;
        Ok(Self {
            model: model.to_owned(),
            id: completion_id(),
            answer: EngineAnswer::new(request),
            events,
            is_over: false,
            idle: None,
            waits: asker.metrics.queue_waits(model),
            cancellation,
            _lease: lease,
        })
    }

    async fn event(&mut self) -> Result<Option<EngineEvent>, GatewayError> {
        match self.events.recv().await {
            Some(event) => {
                if let EngineEvent::Started { waited, .. } = &event {
                    self.waits.observe(waited.as_secs_f64());
                }
                Ok(Some(event))
            }
            None if self.is_over => Ok(None),
            None => Err(self.failed("the engine dropped the request".to_owned())),
        }
    }

    fn failed(&self, detail: String) -> GatewayError {
        GatewayError::GenerationFailed {
            model: self.model.clone(),
            source: EngineFailure(detail),
        }
    }

    fn piece(&self, choice: ChunkChoice) -> ChatChunk {
        ChatChunk {
            choices: vec![choice],
            ..ChatChunk::of_usage(&self.id, &self.model, None)
        }
    }

    async fn next_chunk(&mut self) -> Result<Option<ChatChunk>, GatewayError> {
        while !self.is_over {
            match self.event().await? {
                None => break,
                Some(EngineEvent::Started { .. }) => {}
                Some(EngineEvent::Text(text)) => {
                    let choice = self.answer.text(text);
                    return Ok(Some(self.piece(choice)));
                }
                Some(EngineEvent::ToolCall(piece)) => {
                    let choice = self.answer.call(&piece);
                    return Ok(Some(self.piece(choice)));
                }
                Some(EngineEvent::LogProbabilities(told)) => self.answer.log_probabilities(told),
                Some(EngineEvent::Failed(detail)) => return Err(self.failed(detail)),
                Some(EngineEvent::Finished {
                    reason,
                    prompt_tokens,
                    cached_tokens,
                    completion_tokens,
                }) => {
                    self.is_over = true;
                    let choice = self.answer.end(reason);
                    let mut chunk = self.piece(choice);
                    let usage = Usage::new(prompt_tokens, completion_tokens);
                    chunk.usage = Some(usage.with_cached(cached_tokens));
                    return Ok(Some(chunk));
                }
            }
        }
        Ok(None)
    }
}

impl Rest for Generation {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<ChatChunk>, GatewayError>> {
        let Some(idle) = self.idle else {
            return Box::pin(self.next_chunk());
        };
        let model = self.model.clone();
        Box::pin(
            async move { within(Some(idle), &model, "further token", self.next_chunk()).await },
        )
    }
}

/// Submits a request where waiting keeps nobody else waiting. The model stays loaded while the lease is held.
pub(super) async fn submitted(
    model: &str,
    request: &ChatRequest,
    lease: Lease,
    submit: impl FnOnce() -> Result<(), SubmitError> + Send + 'static,
) -> Result<Lease, GatewayError> {
    let submitted = compute(move || {
        // What it holds of the model is dropped with it, before the lease.
        let outcome = submit();
        if outcome == Err(SubmitError::Closed) {
            lease.died();
        }
        outcome.map(|()| lease)
    });
    submitted
        .await?
        .map_err(|error| refusal(model, request, error))
}

/// What a leased model says something with.
fn speaking(
    lease: &Lease,
    model: &str,
    request: &ChatRequest,
) -> Result<Arc<dyn Engine>, GatewayError> {
    match lease.loaded() {
        Loaded::Text(engine) => Ok(Arc::clone(engine)),
        Loaded::Vectors(_) | Loaded::Ranking(_) => Err(GatewayError::UnsupportedTask {
            model: model.to_owned(),
            path: request.task.path(),
        }),
    }
}

fn completion(id: String, model: &str, choice: Choice, usage: Usage) -> ChatCompletion {
    ChatCompletion {
        id,
        object: "chat.completion".to_owned(),
        created: unix_seconds(),
        model: model.to_owned(),
        choices: vec![choice],
        usage: Some(usage),
        extra: Map::new(),
    }
}
