//! Requests for several answers, of engines in this process: one generation after the other.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::future::BoxFuture;

use super::limits::LocalLimits;
use super::local::{self, Asker, Generation};
use super::stream::Rest;
use crate::conversion::{Part, parts};
use crate::error::GatewayError;
use crate::metrics::Metrics;
use crate::models::ModelSlot;
use crate::types::{ChatChunk, ChatCompletion, ChatRequest, Delta, Usage};

/// All answers.
pub(super) async fn complete(
    model: &str,
    slot: &Arc<ModelSlot>,
    limits: LocalLimits,
    request: &ChatRequest,
    asker: Asker<'_>,
) -> Result<ChatCompletion, GatewayError> {
    let mut whole: Option<ChatCompletion> = None;
    let mut usage = Usage::default();
    for part in parts(request, model)? {
        let mut completion = local::complete(model, slot, limits, &part.request, asker).await?;
        add(&mut usage, &part, completion.usage.take());
        for choice in &mut completion.choices {
            choice.index = part.index;
            if let Some(said) = choice.message.get_mut("content") {
                let text = said.as_str().unwrap_or_default();
                *said = format!("{}{text}", part.echo).into();
            }
        }
        match &mut whole {
            None => whole = Some(completion),
            Some(whole) => whole.choices.append(&mut completion.choices),
        }
    }
    let mut whole = whole.ok_or(GatewayError::Internal)?;
    whole.usage = Some(usage);
    Ok(whole)
}

/// The pieces of all answers, one answer after the other.
pub(super) async fn stream(
    model: &str,
    slot: &Arc<ModelSlot>,
    limits: LocalLimits,
    request: &ChatRequest,
    asker: Asker<'_>,
) -> Result<(Vec<ChatChunk>, Answers), GatewayError> {
    let mut waiting: VecDeque<Part> = parts(request, model)?.into();
    let part = waiting.pop_front().ok_or(GatewayError::Internal)?;
    let (head, generation) = local::stream(model, slot, limits, &part.request, asker).await?;
    let mut answers = Answers {
        model: model.to_owned(),
        slot: Arc::clone(slot),
        limits,
        id: head
            .first()
            .map_or_else(String::new, |chunk| chunk.id.clone()),
        waiting,
        head: VecDeque::new(),
        part,
        generation,
        usage: Usage::default(),
        client: Arc::clone(asker.client),
        metrics: Arc::clone(asker.metrics),
    };
    let head = answers.begin(head);
    Ok((head, answers))
}

/// The rest of several answers.
pub(super) struct Answers {
    model: String,
    slot: Arc<ModelSlot>,
    /// Of each answer.
    limits: LocalLimits,
    /// The same for all pieces.
    id: String,
    waiting: VecDeque<Part>,
    /// Pieces of the answer under way that were made to begin it.
    head: VecDeque<ChatChunk>,
    part: Part,
    generation: Generation,
    usage: Usage,
    client: Arc<str>,
    metrics: Arc<Metrics>,
}

impl Answers {
    /// The first pieces of an answer, after what it repeats of its prompt.
    fn begin(&mut self, head: Vec<ChatChunk>) -> Vec<ChatChunk> {
        let echo = (!self.part.echo.is_empty()).then(|| {
            let delta = Delta::text(std::mem::take(&mut self.part.echo));
            ChatChunk::piece(&self.id, &self.model, delta, None)
        });
        echo.into_iter()
            .chain(head)
            .map(|chunk| self.place(chunk))
            .collect()
    }

    fn place(&mut self, mut chunk: ChatChunk) -> ChatChunk {
        chunk.id.clone_from(&self.id);
        for choice in &mut chunk.choices {
            choice.index = self.part.index;
        }
        if chunk.usage.is_some() {
            add(&mut self.usage, &self.part, chunk.usage.take());
            chunk.usage = Some(self.usage.clone());
        }
        chunk
    }

    async fn next_chunk(&mut self) -> Result<Option<ChatChunk>, GatewayError> {
        loop {
            if let Some(chunk) = self.head.pop_front() {
                return Ok(Some(chunk));
            }
            if let Some(chunk) = self.generation.next().await? {
                return Ok(Some(self.place(chunk)));
            }
            let Some(part) = self.waiting.pop_front() else {
                return Ok(None);
            };
            let begun = local::stream(
                &self.model,
                &self.slot,
                self.limits,
                &part.request,
                Asker {
                    client: &self.client,
                    metrics: &self.metrics,
                },
            );
            let (head, generation) = begun.await?;
            self.part = part;
            self.generation = generation;
            self.head = self.begin(head).into();
        }
    }
}

impl Rest for Answers {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<ChatChunk>, GatewayError>> {
        Box::pin(self.next_chunk())
    }
}

/// A prompt counts once, however many answers it gets.
fn add(usage: &mut Usage, part: &Part, more: Option<Usage>) {
    let more = more.unwrap_or_default();
    if part.is_new_prompt {
        usage.prompt_tokens += more.prompt_tokens;
        let cached = usage.cached_tokens() + more.cached_tokens();
        *usage = std::mem::take(usage).with_cached(cached);
    }
    usage.completion_tokens += more.completion_tokens;
    usage.total_tokens = usage.prompt_tokens + usage.completion_tokens;
}
