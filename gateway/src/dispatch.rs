//! Gets an answer: the models of a route are tried in order until one speaks.
//!
//! Another model is tried only before the first content; what a client has seen is never taken back. Which models,
//! `routing` decided; how one of them is asked, `models` and `provider` know.

mod attempts;
mod channel_replies;
mod choices;
mod computation;
mod count;
mod held;
mod limits;
mod local;
mod remote;
mod retry;
mod stream;
mod vectors;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;

pub use count::TokenEstimate;
pub use held::{Beginning, HELD_KEEP_ALIVE, Held, HeldAnswer};
pub use retry::RetryBudget;
pub use stream::{ChunkStream, prompt_bytes};

use crate::audit::notes;
use crate::config::{Backend, ModelEntry, SharedRuntime};
use crate::error::GatewayError;
use crate::limits::{Limiter, Permit};
use crate::metrics::Metrics;
use crate::provider::Provider;
use crate::routing::Candidates;
use crate::telemetry::ModelCall;
use crate::types::{ChatCompletion, ChatRequest, Choice, Task, Usage, WholeAnswer};
use attempts::Course;
use limits::Limits;
use local::Asker;
use stream::Finisher;

/// An answer and the model that gave it.
pub struct Answered<T> {
    /// The gateway's name of the model.
    pub model: String,
    /// Where the rule that chose it was written, where there is one.
    pub route: Option<String>,
    /// The answer.
    pub answer: T,
}

impl<T> Answered<T> {
    /// The same model's answer in another form.
    pub fn map<U>(self, form: impl FnOnce(T) -> U) -> Answered<U> {
        Answered {
            model: self.model,
            route: self.route,
            answer: form(self.answer),
        }
    }
}

/// Asks models.
pub struct Dispatcher {
    shared_runtime: SharedRuntime,
    provider: Provider,
    total: Duration,
    metrics: Arc<Metrics>,
    limiter: Arc<Limiter>,
}

impl Dispatcher {
    /// A dispatcher over the configuration in force. Requests end after `total`, unless their route says otherwise.
    pub fn new(
        shared_runtime: SharedRuntime,
        provider: Provider,
        total: Duration,
        metrics: Arc<Metrics>,
        limiter: Arc<Limiter>,
    ) -> Self {
        Self {
            shared_runtime,
            provider,
            total,
            metrics,
            limiter,
        }
    }

    /// A whole answer of the first model that gives one.
    pub async fn complete(
        &self,
        candidates: &Candidates<'_>,
        request: &ChatRequest,
        permit: &Permit,
    ) -> Result<Answered<WholeAnswer>, GatewayError> {
        notes::asked(request);
        let limits = self.limits(candidates);
        let provider = &self.provider.within(limits.remote);
        let outcome = self
            .course(candidates, &limits, limits.remote.whole)
            .first_success(|entry| self.complete_one(provider, entry, &limits, request, permit))
            .await;
        self.count(candidates, &outcome);
        outcome
    }

    /// A streamed answer of the first model that begins one.
    pub async fn stream(
        &self,
        candidates: &Candidates<'_>,
        request: &ChatRequest,
        permit: &Permit,
    ) -> Result<Answered<ChunkStream>, GatewayError> {
        let started = Instant::now();
        notes::asked(request);
        let limits = self.limits(candidates);
        let provider = &self.provider.within(limits.remote);
        let outcome = self
            .course(candidates, &limits, limits.remote.first_token)
            .first_success(|entry| self.stream_one(provider, entry, limits, request, permit))
            .await;
        self.count(candidates, &outcome);
        let answered = outcome?;
        self.metrics.first_token(&answered.model, started.elapsed());
        Ok(answered)
    }

    fn asker<'a>(&'a self, permit: &'a Permit) -> Asker<'a> {
        Asker {
            client: permit.client(),
            metrics: &self.metrics,
        }
    }

    fn limits(&self, candidates: &Candidates<'_>) -> Limits {
        let rule = candidates.rule.map(|rule| rule.timeouts);
        Limits::new(
            &rule.unwrap_or_default(),
            self.provider.timeouts(),
            self.total,
        )
    }

    fn course<'a>(
        &'a self,
        candidates: &'a Candidates<'_>,
        limits: &Limits,
        patience: Duration,
    ) -> Course<'a> {
        Course {
            models: &candidates.models,
            route: candidates.rule.map(|rule| rule.origin.as_str()),
            retries: candidates.rule.and_then(|rule| rule.retries),
            deadline: limits.deadline,
            patience,
            metrics: &self.metrics,
        }
    }

    fn count<T>(&self, candidates: &Candidates<'_>, outcome: &Result<Answered<T>, GatewayError>) {
        if let Some(rule) = candidates.rule {
            let model = outcome.as_ref().ok().map(|answered| &*answered.model);
            self.metrics.routed(&rule.origin, model);
        }
    }

    fn complete_one<'a>(
        &'a self,
        provider: &'a Provider,
        entry: &'a ModelEntry,
        limits: &'a Limits,
        request: &'a ChatRequest,
        permit: &'a Permit,
    ) -> BoxFuture<'a, Result<WholeAnswer, GatewayError>> {
        Box::pin(async move {
            let mut charge = permit.charge(&entry.name).await?;
            let asker = self.asker(permit);
            let mut call = ModelCall::begin(entry, request, limits.deadline.at);
            let outcome = match &entry.backend {
                Backend::Local(slot) if matches!(request.task, Task::Embed | Task::Rerank) => {
                    let vectors =
                        vectors::complete(&entry.name, slot, limits.local, request, asker);
                    Box::pin(vectors).await.map(WholeAnswer::from)
                }
                // Apart, so that an API's answer does not take as much memory as one that is computed here.
                Backend::Local(slot) => {
                    let answer = choices::complete(&entry.name, slot, limits.local, request, asker);
                    Box::pin(answer).await.map(WholeAnswer::from)
                }
                Backend::Remote(remote) => {
                    remote::complete(provider, &entry.name, remote, request, &call).await
                }
                Backend::Unavailable { reason } => Err(unavailable(entry, reason)),
            };
            let mut answer = outcome.inspect_err(|error| call.failed(error))?;
            // Whoever wants to hear of an answer hears it by its own name.
            if (call.is_traced() || notes::wants_content())
                && let WholeAnswer::Sent(sent) = &answer
            {
                answer = sent.read(&entry.name)?.into();
            }
            let usage = match &mut answer {
                WholeAnswer::Read(completion) => {
                    tell(completion, &mut call);
                    finish(completion, entry, request)
                }
                WholeAnswer::Sent(sent) => {
                    sent.model = Some(entry.name.clone());
                    sent.usage.clone()
                }
            };
            self.metrics.usage(&entry.name, &usage);
            charge.settle(&usage);
            call.used(&usage);
            call.complete();
            Ok(answer)
        })
    }

    fn stream_one<'a>(
        &'a self,
        provider: &'a Provider,
        entry: &'a ModelEntry,
        limits: Limits,
        request: &'a ChatRequest,
        permit: &'a Permit,
    ) -> BoxFuture<'a, Result<ChunkStream, GatewayError>> {
        Box::pin(async move {
            let charge = permit.charge(&entry.name).await?;
            let asker = self.asker(permit);
            let mut call = ModelCall::begin(entry, request, limits.deadline.at);
            // Only a model that speaks costs something, so the count begins after its first content.
            let finisher = |call| {
                Finisher::new(
                    &entry.name,
                    request,
                    charge,
                    call,
                    Arc::clone(&self.metrics),
                )
            };
            match &entry.backend {
                Backend::Local(slot) => {
                    let begun = choices::stream(&entry.name, slot, limits.local, request, asker);
                    let (head, rest) = Box::pin(begun)
                        .await
                        .inspect_err(|error| call.failed(error))?;
                    Ok(finisher(call).finish(head, rest, limits.deadline))
                }
                Backend::Remote(remote) => {
                    let (head, rest) =
                        remote::stream(provider, &entry.name, remote, request, &call)
                            .await
                            .inspect_err(|error| call.failed(error))?;
                    Ok(finisher(call).finish_sayings(head, rest, limits.deadline))
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

/// Tell those who want to know what an answer says.
fn tell(completion: &ChatCompletion, call: &mut ModelCall) {
    call.named(&completion.id, &completion.model);
    for choice in &completion.choices {
        call.finished(choice.index, choice.finish_reason.as_deref());
        notes::answered(choice.index, said(choice).unwrap_or_default());
    }
}

/// Give an answer what our clients are promised.
fn finish(completion: &mut ChatCompletion, entry: &ModelEntry, request: &ChatRequest) -> Usage {
    completion.model.clone_from(&entry.name);
    if let Some(object) = request.task.object() {
        object.clone_into(&mut completion.object);
    }
    let usage = match completion.usage.take() {
        Some(usage) => usage.completed(),
        None => estimate(request, &completion.choices),
    };
    completion.usage = Some(usage.clone());
    usage
}

fn said(choice: &Choice) -> Option<&str> {
    let said = choice.message.get("content");
    said.or_else(|| choice.extra.get("text"))?.as_str()
}

fn estimate(request: &ChatRequest, choices: &[Choice]) -> Usage {
    let said = choices.iter().filter_map(said).map(str::len).sum();
    Usage::estimate(stream::prompt_bytes(request), said)
}
