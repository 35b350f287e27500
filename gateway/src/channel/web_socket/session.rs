//! The conversation of one connection: what waits, what is being answered, what was said. No socket.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};

use super::protocol::{Ask, Done, Usage};
use crate::channel::answer::{self, Question};
use crate::conversation::{History, HistoryLimits};
use crate::error::GatewayError;
use crate::respond::{Reply, ReplyStream, Respond};

/// One answer at a time, and a few that wait.
pub(super) struct Session {
    history: History,
    waiting: VecDeque<Ask>,
    max_waiting: usize,
    running: Option<Running>,
}

/// An answer on its way; dropping it cancels the generation.
struct Running {
    ask: Ask,
    model: String,
    answer: String,
    source: Source,
    /// Whether the conversation that it belongs to is still the current one.
    current: bool,
}

enum Source {
    /// The model was asked with this history, which may have been shortened to fit.
    Opening(BoxFuture<'static, (Result<ReplyStream, GatewayError>, History)>),
    Streaming(ReplyStream),
}

/// Something to tell the client.
#[derive(Debug)]
pub(super) enum Event {
    /// A piece of the answer.
    Delta { id: String, text: String },
    /// The answer is complete.
    Done {
        /// What is told.
        done: Done,
        /// What was asked.
        asked: String,
    },
    /// There is no answer, or no more of it.
    Failed {
        /// Of the message.
        id: String,
        /// Why.
        error: GatewayError,
        /// What was asked.
        asked: String,
        /// What was answered until then.
        said: String,
    },
}

/// Why a message is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Too many wait.
    Full,
    /// The id is in use.
    DuplicateId,
}

impl Session {
    pub(super) fn new(history: HistoryLimits, max_waiting: usize) -> Self {
        Self {
            history: History::new(history),
            waiting: VecDeque::new(),
            max_waiting,
            running: None,
        }
    }

    /// Take a message in; it waits until [`start`](Self::start).
    pub(super) fn enqueue(&mut self, ask: Ask) -> Result<(), Refusal> {
        if self.ids().any(|id| id == ask.id) {
            return Err(Refusal::DuplicateId);
        }
        // With nothing running the message is started at once, so it takes no place among those that wait.
        if self.running.is_some() && self.waiting.len() >= self.max_waiting {
            return Err(Refusal::Full);
        }
        self.waiting.push_back(ask);
        Ok(())
    }

    /// The message that is to be started now.
    pub(super) fn startable(&mut self) -> Option<Ask> {
        if self.running.is_some() {
            return None;
        }
        self.waiting.pop_front()
    }

    /// Ask the model.
    pub(super) fn start(
        &mut self,
        ask: Ask,
        model: &str,
        system: Option<&str>,
        respond: Arc<dyn Respond>,
    ) {
        let question = Question {
            model: model.to_owned(),
            system: system.map(str::to_owned),
            text: ask.text.clone(),
        };
        let mut history = self.history.clone();
        let opening = async move {
            let result = answer::ask(respond.as_ref(), &question, &mut history).await;
            (result, history)
        };
        let source = Source::Opening(opening.boxed());
        self.running = Some(Running {
            ask,
            model: model.to_owned(),
            answer: String::new(),
            source,
            current: true,
        });
    }

    /// Stop the answer to a message, or its waiting; `None` when there is no such message.
    pub(super) fn cancel(&mut self, id: &str) -> Option<Done> {
        let done = |id, text| Done {
            id,
            text,
            model: None,
            finish_reason: "cancelled".to_owned(),
            usage: None,
        };
        if let Some(running) = self.running.take_if(|running| running.ask.id == id) {
            return Some(done(running.ask.id, running.answer));
        }
        let at = self.waiting.iter().position(|ask| ask.id == id)?;
        self.waiting
            .remove(at)
            .map(|ask| done(ask.id, String::new()))
    }

    /// Forget what was said; an answer on its way will not be remembered either.
    pub(super) fn reset(&mut self) {
        self.history.clear();
        if let Some(running) = &mut self.running {
            running.current = false;
        }
    }

    /// Whether no answer is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_none()
    }

    /// Take back everything that waits.
    pub(super) fn dismiss(&mut self) -> impl Iterator<Item = Ask> {
        std::mem::take(&mut self.waiting).into_iter()
    }

    /// The next event of the answer on its way; never, when there is none. Nothing is lost when the caller stops
    /// waiting in between.
    pub(super) async fn next(&mut self) -> Event {
        loop {
            let Some(running) = &mut self.running else {
                return pending().await;
            };
            let step = match &mut running.source {
                Source::Opening(opening) => {
                    let (result, history) = opening.await;
                    if running.current {
                        self.history = history;
                    }
                    match result {
                        Ok(stream) => {
                            running.source = Source::Streaming(stream);
                            continue;
                        }
                        Err(error) => Some(Err(error)),
                    }
                }
                Source::Streaming(stream) => stream.next().await,
            };
            return match step {
                Some(Ok(Reply::Text(text))) => {
                    running.answer.push_str(&text);
                    Event::Delta {
                        id: running.ask.id.clone(),
                        text,
                    }
                }
                Some(Ok(Reply::Done {
                    model,
                    prompt_tokens,
                    completion_tokens,
                    finish_reason,
                })) => {
                    let total_tokens = prompt_tokens + completion_tokens;
                    let usage = Usage {
                        prompt_tokens,
                        completion_tokens,
                        total_tokens,
                    };
                    self.finish(model, finish_reason, usage)
                }
                Some(Err(error)) => self.fail(error),
                None => {
                    let model = running.model.clone();
                    self.fail(GatewayError::UpstreamInterrupted { model })
                }
            };
        }
    }

    fn finish(&mut self, model: String, finish_reason: String, usage: Usage) -> Event {
        let Running {
            ask,
            answer,
            current,
            ..
        } = self.running.take().expect("called for the running answer");
        if current {
            self.history.record(ask.text.clone(), answer.clone());
        }
        Event::Done {
            done: Done {
                id: ask.id,
                text: answer,
                model: Some(model),
                finish_reason,
                usage: Some(usage),
            },
            asked: ask.text,
        }
    }

    fn fail(&mut self, error: GatewayError) -> Event {
        let running = self.running.take().expect("called for the running answer");
        Event::Failed {
            id: running.ask.id,
            error,
            asked: running.ask.text,
            said: running.answer,
        }
    }

    fn ids(&self) -> impl Iterator<Item = &str> {
        self.running
            .iter()
            .map(|running| &running.ask)
            .chain(&self.waiting)
            .map(|ask| ask.id.as_str())
    }
}
