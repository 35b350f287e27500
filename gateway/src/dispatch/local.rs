//! Answers of engines in this process.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use prometheus_client::metrics::histogram::Histogram;
use serde_json::{Map, json};
use tokio::sync::mpsc;

use super::limits::LocalLimits;
use super::stream::Rest;
use crate::conversion::{engine_messages, engine_request};
use crate::error::{EngineFailure, GatewayError};
use crate::metrics::Metrics;
use crate::models::{Cancellation, Engine, EngineEvent, ModelSlot, SlotState, SubmitError};
use crate::types::{
    ChatChunk, ChatCompletion, ChatRequest, Choice, Delta, Usage, completion_id, unix_seconds,
};

/// A model that is unloaded is replaced, or gone, after about this long.
const UNLOAD_PAUSE: Duration = Duration::from_secs(1);
/// A model that is on its way may be there after this long.
const LOAD_PAUSE: Duration = Duration::from_secs(5);

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
    /// Unbounded, because the engine's thread must never wait for a slow client; what can pile up is one answer,
    /// whose length the context bounds.
    events: mpsc::UnboundedReceiver<EngineEvent>,
    is_over: bool,
    idle: Option<Duration>,
    /// Where it is counted how long it was in the queue.
    waits: Histogram,
    cancellation: Cancellation,
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.cancellation.cancel();
    }
}

pub(super) async fn complete(
    model: &str,
    slot: &Arc<ModelSlot>,
    limits: LocalLimits,
    request: &ChatRequest,
    asker: Asker<'_>,
) -> Result<ChatCompletion, GatewayError> {
    within(
        limits.answer,
        model,
        "answer",
        whole(model, slot, request, asker),
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

/// The outcome, unless it takes longer than it may.
async fn within<T>(
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
) -> Result<ChatCompletion, GatewayError> {
    let mut generation = Generation::start(model, slot, request, asker).await?;
    let mut text = String::new();
    while let Some(event) = generation.event().await? {
        match event {
            EngineEvent::Started { .. } => {}
            EngineEvent::Text(piece) => text.push_str(&piece),
            EngineEvent::Finished {
                reason,
                prompt_tokens,
                cached_tokens,
                completion_tokens,
            } => {
                let usage = Usage::new(prompt_tokens, completion_tokens).with_cached(cached_tokens);
                return Ok(completion(
                    generation.id.clone(),
                    model,
                    &text,
                    reason.as_str(),
                    usage,
                ));
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
    let mut generation = Generation::start(model, slot, request, asker).await?;
    let mut head = vec![ChatChunk::piece(&generation.id, model, Delta::role(), None)];
    while let Some(chunk) = generation.next_chunk().await? {
        let has_content = chunk.has_content();
        head.push(chunk);
        if has_content {
            return Ok((head, generation));
        }
    }
    Err(generation.failed("the engine ended without an event".to_owned()))
}

/// The length of a prompt, as the model itself counts it.
pub(super) async fn count_tokens(
    model: &str,
    slot: Arc<ModelSlot>,
    request: &ChatRequest,
) -> Result<u64, GatewayError> {
    let messages = engine_messages(request, model)?;
    let engine = ready(model, slot.state())?;
    tokio::task::spawn_blocking(move || engine.count_tokens(&messages))
        .await
        .map_err(|_| GatewayError::Internal)?
        .map_err(|error| refusal(model, error))
}

impl Generation {
    async fn start(
        model: &str,
        slot: &Arc<ModelSlot>,
        request: &ChatRequest,
        asker: Asker<'_>,
    ) -> Result<Self, GatewayError> {
        let mut engine_request = engine_request(request, model)?;
        engine_request.client = Arc::clone(asker.client);
        let engine = ready(model, slot.state())?;
        let cancellation = engine_request.cancellation.clone();
        let (sender, events) = mpsc::unbounded_channel();
        let sink = Box::new(move |event| match sender.send(event) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        });
        // Tokenizing a long conversation takes a while, which other requests must not wait for.
        tokio::task::spawn_blocking(move || engine.submit(engine_request, sink))
            .await
            .map_err(|_| GatewayError::Internal)?
            .map_err(|error| refusal(model, error))?;
        Ok(Self {
            model: model.to_owned(),
            id: completion_id(),
            events,
            is_over: false,
            idle: None,
            waits: asker.metrics.queue_waits(model),
            cancellation,
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

    fn piece(&self, delta: Delta, finish_reason: Option<String>) -> ChatChunk {
        ChatChunk::piece(&self.id, &self.model, delta, finish_reason)
    }

    async fn next_chunk(&mut self) -> Result<Option<ChatChunk>, GatewayError> {
        while !self.is_over {
            match self.event().await? {
                None => break,
                Some(EngineEvent::Started { .. }) => {}
                Some(EngineEvent::Text(text)) => {
                    return Ok(Some(self.piece(Delta::text(text), None)));
                }
                Some(EngineEvent::Failed(detail)) => return Err(self.failed(detail)),
                Some(EngineEvent::Finished {
                    reason,
                    prompt_tokens,
                    cached_tokens,
                    completion_tokens,
                }) => {
                    self.is_over = true;
                    let mut chunk = self.piece(Delta::default(), Some(reason.as_str().to_owned()));
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

fn ready(model: &str, state: SlotState) -> Result<Arc<dyn Engine>, GatewayError> {
    let model = model.to_owned();
    match state {
        SlotState::Ready(engine, _) => Ok(engine),
        SlotState::Failed { .. } => {
            // The cause may name files of the host; the log and the management port have it.
            Err(GatewayError::ModelUnavailable {
                model,
                reason: "it failed to load; see the gateway's status".into(),
            })
        }
        state @ (SlotState::Pending
        | SlotState::Fetching { .. }
        | SlotState::Importing(_)
        | SlotState::Loading) => Err(GatewayError::ModelNotReady {
            model,
            state: state.label().to_owned(),
            retry_after: LOAD_PAUSE,
        }),
    }
}

fn refusal(model: &str, error: SubmitError) -> GatewayError {
    let model = model.to_owned();
    match error {
        SubmitError::QueueFull { retry_after } => GatewayError::Overloaded { model, retry_after },
        SubmitError::PromptTooLong { tokens, limit } => GatewayError::PromptTooLong {
            model,
            tokens,
            limit,
        },
        SubmitError::InvalidRequest { field, message } => GatewayError::InvalidRequest {
            message,
            param: field,
        },
        SubmitError::Closed => GatewayError::ModelNotReady {
            model,
            state: "unloading".to_owned(),
            retry_after: UNLOAD_PAUSE,
        },
    }
}

fn completion(
    id: String,
    model: &str,
    text: &str,
    finish_reason: &str,
    usage: Usage,
) -> ChatCompletion {
    let message = Map::from_iter([
        ("role".to_owned(), json!("assistant")),
        ("content".to_owned(), json!(text)),
    ]);
    ChatCompletion {
        id,
        object: "chat.completion".to_owned(),
        created: unix_seconds(),
        model: model.to_owned(),
        choices: vec![Choice {
            index: 0,
            message,
            finish_reason: Some(finish_reason.to_owned()),
            extra: Map::new(),
        }],
        usage: Some(usage),
        extra: Map::new(),
    }
}
