//! Gets an answer: the models of a route are tried in order until one speaks.
//!
//! Another model is tried only before the first content; what a client has seen is never taken back. Which models,
//! `routing` decided; how one of them is asked, `models` and `provider` know.

mod attempts;
mod channel_replies;
mod count;
mod local;
mod remote;
mod stream;

use std::sync::Arc;
use std::time::Instant;

use futures::future::BoxFuture;

pub use count::TokenEstimate;
pub use stream::{ChunkStream, prompt_bytes};

use crate::config::{Backend, ModelEntry, SharedRuntime};
use crate::error::GatewayError;
use crate::metrics::Metrics;
use crate::provider::Provider;
use crate::types::{ChatCompletion, ChatRequest, Usage};
use stream::Finisher;

/// An answer and the model that gave it.
pub struct Answered<T> {
    /// The gateway's name of the model.
    pub model: String,
    /// The answer.
    pub answer: T,
}

impl<T> Answered<T> {
    /// The same model's answer in another form.
    pub fn map<U>(self, form: impl FnOnce(T) -> U) -> Answered<U> {
        Answered {
            model: self.model,
            answer: form(self.answer),
        }
    }
}

/// Asks models.
pub struct Dispatcher {
    shared_runtime: SharedRuntime,
    provider: Provider,
    metrics: Arc<Metrics>,
}

impl Dispatcher {
    /// A dispatcher over the configuration in force.
    pub fn new(shared_runtime: SharedRuntime, provider: Provider, metrics: Arc<Metrics>) -> Self {
        Self {
            shared_runtime,
            provider,
            metrics,
        }
    }

    /// A whole answer of the first model that gives one.
    pub async fn complete(
        &self,
        candidates: &[&ModelEntry],
        request: &ChatRequest,
    ) -> Result<Answered<ChatCompletion>, GatewayError> {
        attempts::first_success(candidates, &self.metrics, |entry| {
            self.complete_one(entry, request)
        })
        .await
    }

    /// A streamed answer of the first model that begins one.
    pub async fn stream(
        &self,
        candidates: &[&ModelEntry],
        request: &ChatRequest,
    ) -> Result<Answered<ChunkStream>, GatewayError> {
        let started = Instant::now();
        let answered = attempts::first_success(candidates, &self.metrics, |entry| {
            self.stream_one(entry, request)
        })
        .await?;
        self.metrics.first_token(&answered.model, started.elapsed());
        Ok(answered)
    }

    fn complete_one<'a>(
        &'a self,
        entry: &'a ModelEntry,
        request: &'a ChatRequest,
    ) -> BoxFuture<'a, Result<ChatCompletion, GatewayError>> {
        Box::pin(async move {
            let mut completion = match &entry.backend {
                Backend::Local(slot) => local::complete(&entry.name, slot, request).await?,
                Backend::Remote(remote) => {
                    remote::complete(&self.provider, &entry.name, remote, request).await?
                }
                Backend::Unavailable { reason } => return Err(unavailable(entry, reason)),
            };
            completion.model.clone_from(&entry.name);
            "chat.completion".clone_into(&mut completion.object);
            let usage = completion
                .usage
                .get_or_insert_with(|| estimate(request, &completion.choices));
            self.metrics.usage(&entry.name, usage);
            Ok(completion)
        })
    }

    fn stream_one<'a>(
        &'a self,
        entry: &'a ModelEntry,
        request: &'a ChatRequest,
    ) -> BoxFuture<'a, Result<ChunkStream, GatewayError>> {
        Box::pin(async move {
            // Only a model that speaks costs something, so the count begins after its first content.
            let finisher = || Finisher::new(&entry.name, request, Arc::clone(&self.metrics));
            match &entry.backend {
                Backend::Local(slot) => {
                    let (head, rest) = local::stream(&entry.name, slot, request).await?;
                    Ok(finisher().finish(head, rest))
                }
                Backend::Remote(remote) => {
                    let (head, rest) =
                        remote::stream(&self.provider, &entry.name, remote, request).await?;
                    Ok(finisher().finish(head, rest))
                }
                Backend::Unavailable { reason } => Err(unavailable(entry, reason)),
            }
        })
    }
}

fn unavailable(entry: &ModelEntry, reason: &str) -> GatewayError {
    GatewayError::ModelUnavailable {
        model: entry.name.clone(),
        reason: reason.to_owned(),
    }
}

fn estimate(request: &ChatRequest, choices: &[crate::types::Choice]) -> Usage {
    let said = choices
        .iter()
        .filter_map(|choice| choice.message.get("content")?.as_str())
        .map(str::len)
        .sum();
    Usage::estimate(stream::prompt_bytes(request), said)
}
