//! A model that says what the question tells it to, when the test lets it.

use std::sync::{Arc, Mutex};

use clawdbot::error::GatewayError;
use clawdbot::respond::{ChatMessage, Reply, ReplyStream, Respond};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use tokio::sync::{Semaphore, watch};

/// Answers "echo: <question>". A question that begins with
/// - `wait`: waits for the gate before it answers at all;
/// - `stall`: says "well" and waits for the gate before it goes on;
/// - `fail`: has no answer; `break`: breaks off after "well"; `long`: says 5000 letters.
pub(crate) struct FakeModel {
    calls: watch::Sender<Vec<Call>>,
    cancelled: watch::Sender<usize>,
    gate: Arc<Semaphore>,
    texts: Mutex<Vec<String>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) model: String,
    /// `role: content`, one a message.
    pub(crate) messages: Vec<String>,
}

/// Counts answers that were dropped before their end.
struct Unfinished(watch::Sender<usize>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count += 1);
    }
}

impl FakeModel {
    pub(crate) fn new() -> Arc<Self> {
        let (calls, cancelled) = (watch::Sender::default(), watch::Sender::default());
        Arc::new(Self {
            calls,
            cancelled,
            gate: Arc::new(Semaphore::new(0)),
            texts: Mutex::default(),
        })
    }

    /// Let this many waiting answers go on.
    pub(crate) fn open_gate(&self, answers: usize) {
        self.gate.add_permits(answers);
    }

    /// All calls, as soon as there are this many.
    pub(crate) async fn calls(&self, count: usize) -> Vec<Call> {
        let mut calls = self.calls.subscribe();
        crate::soon(
            "calls of the model",
            calls.wait_for(|calls| calls.len() >= count),
        )
        .await
        .expect("open")
        .clone()
    }

    /// As soon as this many answers were cancelled.
    pub(crate) async fn cancelled(&self, count: usize) {
        let mut cancelled = self.cancelled.subscribe();
        crate::soon(
            "a cancelled answer",
            cancelled.wait_for(|cancelled| *cancelled >= count),
        )
        .await
        .expect("open");
    }

    /// The questions asked so far.
    pub(crate) fn questions(&self) -> Vec<String> {
        self.texts.lock().expect("not poisoned").clone()
    }
}

impl Respond for FakeModel {
    fn respond(
        &self,
        model: &str,
        messages: Vec<ChatMessage>,
    ) -> BoxFuture<'_, Result<ReplyStream, GatewayError>> {
        let question = messages.last().expect("a question").content.clone();
        self.texts
            .lock()
            .expect("not poisoned")
            .push(question.clone());
        let call = Call {
            model: model.to_owned(),
            messages: messages
                .iter()
                .map(|message| format!("{}: {}", message.role.as_str(), message.content))
                .collect(),
        };
        self.calls.send_modify(|calls| calls.push(call));
        let model = model.to_owned();
        async move {
            if question.starts_with("wait") {
                self.gate.acquire().await.expect("open").forget();
            }
            if question.starts_with("fail") {
                return Err(GatewayError::ModelUnavailable {
                    model,
                    reason: "on purpose".into(),
                });
            }
            Ok(self.answer(model, &question))
        }
        .boxed()
    }
}

impl FakeModel {
    fn answer(&self, model: String, question: &str) -> ReplyStream {
        let text = |text: &str| Ok(Reply::Text(text.to_owned()));
        let done = Ok(Reply::Done {
            model,
            prompt_tokens: 3,
            completion_tokens: 4,
            finish_reason: "stop".to_owned(),
        });
        if question.starts_with("break") {
            let broken = Err(GatewayError::UpstreamInterrupted {
                model: "tiny".into(),
            });
            return stream::iter([text("well"), broken]).boxed();
        }
        if question.starts_with("long") {
            return stream::iter([text(&"x".repeat(5000)), done]).boxed();
        }
        if !question.starts_with("stall") {
            return stream::iter([text("echo: "), text(question), done]).boxed();
        }
        let (gate, unfinished) = (Arc::clone(&self.gate), Unfinished(self.cancelled.clone()));
        let rest = async move {
            gate.acquire().await.expect("open").forget();
            std::mem::forget(unfinished);
            stream::iter([Ok(Reply::Text(", yes".to_owned())), done])
        };
        stream::iter([text("well")])
            .chain(rest.flatten_stream())
            .boxed()
    }
}
