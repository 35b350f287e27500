//! Requests for several answers, of engines in this process.
//!
//! The first answer goes ahead: the others begin once it speaks, when the engine has taken in the prompt that they share.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::StreamExt as _;
use futures::future::{BoxFuture, try_join_all};
use futures::stream::FuturesUnordered;
use tokio::sync::oneshot;

use super::limits::LocalLimits;
use super::local::{self, Asker, Generation};
use super::stream::Rest;
use crate::conversion::{Part, parts};
use crate::error::GatewayError;
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
    let parts = parts(request, model)?;
    let (first, others) = parts.split_first().ok_or(GatewayError::Internal)?;
    let (begins, begun) = oneshot::channel();
    let begins = (!others.is_empty()).then_some(begins);
    let first = local::complete(model, slot, limits, &first.request, asker, begins);
    let others = async {
        // Also where it is over without a word.
        let _ = begun.await;
        let answers = others
            .iter()
            .map(|part| local::complete(model, slot, limits, &part.request, asker, None));
        try_join_all(answers).await
    };
    let (first, others) = futures::try_join!(first, others)?;
    let mut usage = Usage::default();
    let mut whole: Option<ChatCompletion> = None;
    let completions = std::iter::once(first).chain(others);
    for (part, mut completion) in parts.iter().zip(completions) {
        add(&mut usage, part, completion.usage.take());
        for choice in &mut completion.choices {
            choice.index = part.index;
            if let Some(said) = choice.message.get_mut("content")
                && !part.echo.is_empty()
            {
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

/// The pieces of all answers, as they come.
pub(super) async fn stream(
    model: &str,
    slot: &Arc<ModelSlot>,
    limits: LocalLimits,
    request: &ChatRequest,
    asker: Asker<'_>,
) -> Result<(Vec<ChatChunk>, Answers), GatewayError> {
    let mut parts = parts(request, model)?.into_iter();
    let part = parts.next().ok_or(GatewayError::Internal)?;
    let (head, generation) = local::stream(model, slot, limits, &part.request, asker).await?;
    let mut answers = Answers {
        model: model.to_owned(),
        id: head
            .first()
            .map_or_else(String::new, |chunk| chunk.id.clone()),
        head: VecDeque::new(),
        usage: Usage::default(),
        first: None,
        others: FuturesUnordered::new(),
    };
    let head = answers.begin(&part, head);
    answers.first = Some(Line { part, generation });
    for part in parts {
        let (head, generation) = local::start(model, slot, limits, &part.request, asker).await?;
        let head = answers.begin(&part, head);
        answers.head.extend(head);
        answers.others.push(step(Line { part, generation }));
    }
    if !answers.others.is_empty()
        && let Some(first) = answers.first.take()
    {
        answers.others.push(step(first));
    }
    Ok((head, answers))
}

/// One answer under way.
struct Line {
    part: Part,
    generation: Generation,
}

/// An answer and what it says next.
type Step = BoxFuture<'static, (Line, Result<Option<ChatChunk>, GatewayError>)>;

fn step(mut line: Line) -> Step {
    Box::pin(async move {
        let next = line.generation.next().await;
        (line, next)
    })
}

/// The rest of several answers.
pub(super) struct Answers {
    model: String,
    /// The same for all pieces.
    id: String,
    /// Pieces that begin answers.
    head: VecDeque<ChatChunk>,
    usage: Usage,
    /// The only answer.
    first: Option<Line>,
    /// All answers, where there are several.
    others: FuturesUnordered<Step>,
}

impl Answers {
    /// The first pieces of an answer, after what it repeats of its prompt.
    fn begin(&mut self, part: &Part, head: Vec<ChatChunk>) -> Vec<ChatChunk> {
        let echo = (!part.echo.is_empty()).then(|| {
            let delta = Delta::text(part.echo.clone());
            ChatChunk::piece(&self.id, &self.model, delta, None)
        });
        let pieces: Vec<_> = echo.into_iter().chain(head).collect();
        let placed = pieces
            .into_iter()
            .map(|chunk| place(&mut self.usage, &self.id, part, chunk));
        placed.collect()
    }

    async fn next_chunk(&mut self) -> Result<Option<ChatChunk>, GatewayError> {
        if let Some(chunk) = self.head.pop_front() {
            return Ok(Some(chunk));
        }
        if let Some(only) = &mut self.first {
            let Some(chunk) = only.generation.next().await? else {
                return Ok(None);
            };
            return Ok(Some(place(&mut self.usage, &self.id, &only.part, chunk)));
        }
        while let Some((line, next)) = self.others.next().await {
            if let Some(chunk) = next? {
                let chunk = place(&mut self.usage, &self.id, &line.part, chunk);
                self.others.push(step(line));
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }
}

impl Rest for Answers {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<ChatChunk>, GatewayError>> {
        Box::pin(self.next_chunk())
    }
}

/// A piece of one answer as one of all.
fn place(usage: &mut Usage, id: &str, part: &Part, mut chunk: ChatChunk) -> ChatChunk {
    id.clone_into(&mut chunk.id);
    for choice in &mut chunk.choices {
        choice.index = part.index;
    }
    if chunk.usage.is_some() {
        add(usage, part, chunk.usage.take());
        chunk.usage = Some(usage.clone());
    }
    chunk
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
