//! Vectors and rankings of models in this process.

use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::computation::compute;
use super::held;
use super::limits::LocalLimits;
use super::local::{Asker, submitted, within};
use crate::conversion::{embedding, ranking};
use crate::error::{EngineFailure, GatewayError};
use crate::models::{Cancellation, Done, Lease, Loaded, ModelSlot, SubmitError};
use crate::types::{ChatCompletion, ChatRequest, Task, Usage, completion_id, unix_seconds};

pub(super) async fn complete(
    model: &str,
    slot: &Arc<ModelSlot>,
    limits: LocalLimits,
    request: &ChatRequest,
    asker: Asker<'_>,
) -> Result<ChatCompletion, GatewayError> {
    let whole = whole(model, slot, request, asker);
    within(limits.answer, model, "answer", whole).await
}

async fn whole(
    model: &str,
    slot: &Arc<ModelSlot>,
    request: &ChatRequest,
    asker: Asker<'_>,
) -> Result<ChatCompletion, GatewayError> {
    let cancelled = CancelOnDrop(Cancellation::default());
    let (client, cancellation) = (Arc::clone(asker.client), cancelled.0.clone());
    match request.task {
        Task::Embed => {
            let wanted = embedding::request(request, model)?;
            let lease = held::engine(model, slot).await?;
            let Loaded::Vectors(embedder) = lease.loaded().clone() else {
                return Err(other_task(model, request));
            };
            let format = wanted.format;
            let engine_request = wanted.into_engine(client, cancellation);
            let submit = move |done| embedder.submit(engine_request, done);
            let embeddings = outcome(model, request, lease, submit).await?;
            let tokens = embeddings.tokens;
            let fields = compute(move || embedding::answer(&embeddings, format)).await?;
            Ok(completion(model, fields, tokens))
        }
        Task::Rerank => {
            let wanted = ranking::request(request, model)?;
            let lease = held::engine(model, slot).await?;
            let Loaded::Ranking(reranker) = lease.loaded().clone() else {
                return Err(other_task(model, request));
            };
            let engine_request = wanted.to_engine(client, cancellation);
            let submit = move |done| reranker.submit(engine_request, done);
            let scores = outcome(model, request, lease, submit).await?;
            let fields = ranking::answer(&wanted, &scores.scores);
            Ok(completion(model, fields, scores.tokens))
        }
        Task::Chat | Task::Complete | Task::Summarize => Err(other_task(model, request)),
    }
}

fn other_task(model: &str, request: &ChatRequest) -> GatewayError {
    GatewayError::UnsupportedTask {
        model: model.to_owned(),
        path: request.task.path(),
    }
}

/// Nobody waits any more: the model need not go on.
struct CancelOnDrop(Cancellation);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// What a model says to what it is given. It stays loaded until then.
async fn outcome<T: Send + 'static>(
    model: &str,
    request: &ChatRequest,
    lease: Lease,
    submit: impl FnOnce(Done<T>) -> Result<(), SubmitError> + Send + 'static,
) -> Result<T, GatewayError> {
    let (sender, outcome) = oneshot::channel();
    let done = Box::new(move |outcome| drop(sender.send(outcome)));
    // Tokenizing long texts takes a while, which other requests must not wait for.
    let _lease = submitted(model, request, lease, move || submit(done)).await?;
    let failed = |detail: String| GatewayError::GenerationFailed {
        model: model.to_owned(),
        source: EngineFailure(detail),
    };
    outcome
        .await
        .map_err(|_| failed("the engine dropped the request".to_owned()))?
        .map_err(failed)
}

fn completion(model: &str, fields: Map<String, Value>, tokens: usize) -> ChatCompletion {
    ChatCompletion {
        id: completion_id(),
        object: String::new(),
        created: unix_seconds(),
        model: model.to_owned(),
        choices: Vec::new(),
        usage: Some(Usage::new(tokens as u64, 0)),
        extra: fields,
    }
}
