//! Streams of models that are loaded on demand: the client hears how far the model is, instead of nothing.

use std::sync::Arc;
use std::time::Duration;

use super::{Answer, Given, Told};
use crate::config::{Backend, RuntimeConfig};
use crate::dispatch::{Answered, Beginning, ChunkStream, Dispatcher, HeldAnswer};
use crate::error::GatewayError;
use crate::limits::Permit;
use crate::routing::Candidates;
use crate::types::ChatRequest;

/// A model that is loaded sooner answers as any other: with its name, and with a status that says what went wrong.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether one of the models may have to be waited for.
pub(super) fn may_be_held(candidates: &Candidates<'_>) -> bool {
    candidates.models.iter().any(|entry| match &entry.backend {
        Backend::Local(slot) => slot.holds_requests() && !slot.can_answer(),
        Backend::Remote(_) | Backend::Unavailable { .. } => false,
    })
}

/// The pieces of an answer, or, while a model loads, pieces to come.
pub(super) async fn stream(
    dispatcher: &Arc<Dispatcher>,
    runtime: &Arc<RuntimeConfig>,
    candidates: &Candidates<'_>,
    chat: &ChatRequest,
    permit: Permit,
) -> Result<Given, GatewayError> {
    let limits = permit.rate_headers();
    let answer = asked(
        Arc::clone(dispatcher),
        Arc::clone(runtime),
        candidates,
        chat.clone(),
        permit,
    );
    let (model, route, chunks) = match HeldAnswer::begin(answer, PATIENCE).await? {
        Beginning::Begun(Answered {
            model,
            route,
            answer,
        }) => (Some(model), route, answer),
        Beginning::Held(held) => (None, None, ChunkStream::held(held)),
    };
    Ok(Given {
        answer: Answer::Pieces(chunks),
        told: Told {
            model,
            route,
            limits,
        },
    })
}

/// The same request, for longer than whoever sent it is listened to.
fn asked(
    dispatcher: Arc<Dispatcher>,
    runtime: Arc<RuntimeConfig>,
    candidates: &Candidates<'_>,
    chat: ChatRequest,
    permit: Permit,
) -> impl Future<Output = Result<Answered<ChunkStream>, GatewayError>> + Send + 'static {
    let models = candidates.models.iter().map(|entry| entry.name.clone());
    let models: Vec<_> = models.collect();
    let rules = runtime.routes.rules().iter();
    let rule = candidates.rule.and_then(|rule| {
        let mut rules = rules;
        rules.position(|known| std::ptr::eq(known, rule))
    });
    async move {
        let candidates = Candidates {
            rule: rule.and_then(|index| runtime.routes.rules().get(index)),
            models: models
                .iter()
                .filter_map(|name| runtime.model(name))
                .collect(),
        };
        dispatcher.stream(&candidates, &chat, &permit).await
    }
}
