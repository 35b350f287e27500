//! The last step of every streamed answer: the gateway's model name, a role in the first piece, usage always counted
//! and shown where it was asked for.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::Stream;
use futures::future::BoxFuture;
use serde_json::Value;
use tokio::time::{Instant, Sleep};

use super::held::{Held, HeldAnswer};
use super::limits::Deadline;
use crate::audit::notes;
use crate::error::GatewayError;
use crate::limits::Charge;
use crate::metrics::Metrics;
use crate::telemetry::ModelCall;
use crate::types::{ChatChunk, ChatRequest, Content, Said, Usage, completion_id};

/// The pieces of an answer. An `Err` is the last item.
pub struct ChunkStream {
    stage: Stage,
    /// The last piece, where another one may be it again.
    last: Option<Box<ChatChunk>>,
}

/// Whether the answer has begun.
enum Stage {
    Begun(Box<State>),
    /// A model is waited for.
    Held(HeldAnswer),
    /// It never began.
    Over,
}

impl ChunkStream {
    /// Pieces of an answer that begins once a model is loaded.
    pub fn held(answer: HeldAnswer) -> Self {
        Self {
            stage: Stage::Held(answer),
            last: None,
        }
    }

    /// What is waited for before the answer begins.
    pub fn waits_for(&self) -> Option<&Held> {
        match &self.stage {
            Stage::Held(answer) => Some(answer.held()),
            Stage::Begun(_) | Stage::Over => None,
        }
    }

    /// The next piece as short as it comes, for whoever remembers the last one.
    pub fn poll_said(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Said, GatewayError>>> {
        loop {
            match &mut self.stage {
                Stage::Begun(state) => return state.poll_said(context),
                Stage::Over => return Poll::Ready(None),
                Stage::Held(answer) => match ready!(answer.poll(context)) {
                    Ok(begun) => self.stage = begun.stage,
                    Err(error) => {
                        self.stage = Stage::Over;
                        return Poll::Ready(Some(Err(error)));
                    }
                },
            }
        }
    }
}

impl Stream for ChunkStream {
    type Item = Result<ChatChunk, GatewayError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(self.poll_said(context));
        Poll::Ready(next.map(|said| match said? {
            Said::Piece(chunk) => {
                self.last = (chunk.choices.len() == 1).then(|| chunk.clone());
                Ok(*chunk)
            }
            Said::Again(text) => {
                let mut chunk = self.last.clone().ok_or(GatewayError::Internal)?;
                for choice in &mut chunk.choices {
                    choice.delta.content = Some(text.read());
                }
                Ok(*chunk)
            }
        }))
    }
}

/// The rest of an answer, from wherever it comes.
pub(super) trait Rest: Send + 'static {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<ChatChunk>, GatewayError>>;
}

/// The rest of an answer without a future for each piece.
type Sayings = Pin<Box<dyn Stream<Item = Result<Said, GatewayError>> + Send>>;

pub(super) struct Finisher {
    id: String,
    model: String,
    shows_usage: bool,
    usage: Option<Usage>,
    prompt_bytes: usize,
    said_bytes: usize,
    is_first: bool,
    charge: Charge,
    call: ModelCall,
    /// When the first content came.
    began: Instant,
    /// How long the complete answer went on.
    lasted: Option<Duration>,
    /// Whether what is said is recorded.
    is_recorded: bool,
    /// The answer that the last piece belonged to.
    last_index: u32,
    metrics: Arc<Metrics>,
}

/// What of a conversation a model reads, for estimates: texts, calls of tools, and the tools.
pub fn prompt_bytes(request: &ChatRequest) -> usize {
    let said = request.messages.iter().map(|message| {
        if let Content::Text(text) = &message.content {
            text.len()
        } else {
            0
        }
    });
    let body = &request.body;
    let texts = request.task.text_bytes(body);
    said.sum::<usize>() + texts + body.call_bytes() + body.tool_bytes()
}

impl Finisher {
    pub(super) fn new(
        model: &str,
        request: &ChatRequest,
        charge: Charge,
        call: ModelCall,
        metrics: Arc<Metrics>,
    ) -> Self {
        call.first_content();
        Self {
            id: completion_id(),
            model: model.to_owned(),
            shows_usage: request.include_usage,
            usage: None,
            prompt_bytes: prompt_bytes(request),
            said_bytes: 0,
            is_first: true,
            charge,
            call,
            began: Instant::now(),
            lasted: None,
            is_recorded: notes::wants_content(),
            last_index: 0,
            metrics,
        }
    }

    /// The whole answer; one that is not over at the deadline ends with an error.
    pub(super) fn finish(
        self,
        head: Vec<ChatChunk>,
        rest: impl Rest,
        deadline: Deadline,
    ) -> ChunkStream {
        let rest = futures::stream::try_unfold(rest, |mut rest| async {
            let next = rest.next().await?;
            Ok(next.map(|chunk| (Said::Piece(Box::new(chunk)), rest)))
        });
        self.finish_sayings(head, rest, deadline)
    }

    /// The same of a rest that ends with its first error.
    pub(super) fn finish_sayings(
        self,
        head: Vec<ChatChunk>,
        rest: impl Stream<Item = Result<Said, GatewayError>> + Send + 'static,
        deadline: Deadline,
    ) -> ChunkStream {
        let state = Box::new(State {
            finisher: self,
            head: head.into(),
            rest: Box::pin(rest),
            deadline,
            // One timer for all pieces.
            alarm: Box::pin(tokio::time::sleep_until(deadline.at)),
            is_over: false,
        });
        ChunkStream {
            stage: Stage::Begun(state),
            last: None,
        }
    }

    fn said(&mut self, said: Said) -> Option<Said> {
        match said {
            Said::Piece(chunk) => {
                let chunk = self.piece(*chunk)?;
                Some(Said::Piece(Box::new(chunk)))
            }
            Said::Again(ref text) => {
                if self.is_recorded {
                    notes::answered(self.last_index, &text.read());
                }
                self.said_bytes += text.bytes;
                Some(said)
            }
        }
    }

    /// `None` where the piece held nothing but usage.
    fn piece(&mut self, mut chunk: ChatChunk) -> Option<ChatChunk> {
        if self.is_first && !chunk.id.is_empty() {
            self.id.clone_from(&chunk.id);
        }
        self.call.named(&chunk.id, &chunk.model);
        if let Some(usage) = chunk.usage.take() {
            self.usage = Some(usage);
        }
        if chunk.choices.is_empty() {
            return None;
        }
        chunk.id.clone_from(&self.id);
        chunk.model.clone_from(&self.model);
        "chat.completion.chunk".clone_into(&mut chunk.object);
        for choice in &mut chunk.choices {
            let of_text = || choice.extra.get("text").and_then(Value::as_str);
            let text = choice.delta.content.as_deref().or_else(of_text);
            if self.is_recorded {
                notes::answered(choice.index, text.unwrap_or_default());
            }
            self.last_index = choice.index;
            self.call
                .finished(choice.index, choice.finish_reason.as_deref());
            self.said_bytes += text.map_or(0, str::len);
            if self.is_first && choice.delta.role.is_none() {
                choice.delta.role = Some("assistant".to_owned());
            }
        }
        self.is_first = false;
        Some(chunk)
    }

    fn last(&mut self) -> Option<ChatChunk> {
        self.lasted = Some(self.began.elapsed());
        self.call.complete();
        let usage = self.counted();
        self.shows_usage
            .then(|| ChatChunk::of_usage(&self.id, &self.model, Some(usage)))
    }

    fn counted(&self) -> Usage {
        self.usage
            .clone()
            .unwrap_or_else(|| Usage::estimate(self.prompt_bytes, self.said_bytes))
    }
}

impl Drop for Finisher {
    /// Also an answer that its client left, or that was cut off, has cost something.
    fn drop(&mut self) {
        let usage = self.counted();
        self.metrics.usage(&self.model, &usage);
        self.charge.settle(&usage);
        self.call.used(&usage);
        if let Some(lasted) = self.lasted {
            let model = std::mem::take(&mut self.model);
            self.metrics.spoken(model, lasted, usage.completion_tokens);
        }
    }
}

struct State {
    finisher: Finisher,
    head: VecDeque<ChatChunk>,
    rest: Sayings,
    deadline: Deadline,
    alarm: Pin<Box<Sleep>>,
    is_over: bool,
}

impl State {
    fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Said, GatewayError>>> {
        if let Some(chunk) = self.head.pop_front() {
            return Poll::Ready(Some(Ok(Said::Piece(Box::new(chunk)))));
        }
        if self.alarm.as_mut().poll(context).is_ready() {
            let error = self.deadline.passed(&self.finisher.model);
            return Poll::Ready(Some(Err(error)));
        }
        self.rest.as_mut().poll_next(context)
    }

    fn poll_said(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Said, GatewayError>>> {
        while !self.is_over {
            let item = match ready!(self.poll_rest(context)) {
                Some(Ok(said)) => self.finisher.said(said).map(Ok),
                None => {
                    self.is_over = true;
                    let last = self.finisher.last();
                    last.map(|chunk| Ok(Said::Piece(Box::new(chunk))))
                }
                Some(Err(error)) => {
                    self.is_over = true;
                    self.finisher.call.failed(&error);
                    Some(Err(error))
                }
            };
            if item.is_some() {
                return Poll::Ready(item);
            }
        }
        Poll::Ready(None)
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use serde_json::json;

    use super::*;
    use crate::metrics::Snapshot;
    use crate::types::Delta;

    struct Script(VecDeque<Result<ChatChunk, GatewayError>>);

    impl Rest for Script {
        fn next(&mut self) -> BoxFuture<'_, Result<Option<ChatChunk>, GatewayError>> {
            Box::pin(std::future::ready(self.0.pop_front().transpose()))
        }
    }

    fn request(include_usage: bool) -> ChatRequest {
        let body = json!({
            "messages": [{"role": "user", "content": "12345678"}],
            "stream": true,
            "stream_options": {"include_usage": include_usage},
        });
        ChatRequest::parse(&body.to_string().into()).expect("valid")
    }

    fn text(text: &str) -> ChatChunk {
        ChatChunk::piece("far-id", "far-model", Delta::text(text.into()), None)
    }

    async fn run(
        include_usage: bool,
        rest: Vec<Result<ChatChunk, GatewayError>>,
    ) -> (Vec<serde_json::Value>, String) {
        let metrics = Arc::new(Metrics::default());
        let finisher = Finisher::new(
            "near",
            &request(include_usage),
            Charge::nothing(),
            ModelCall::untraced(),
            Arc::clone(&metrics),
        );
        let deadline = Deadline::after(Duration::from_mins(1));
        let stream = finisher.finish(vec![text("abcd")], Script(rest.into()), deadline);
        let items = stream
            .map(|item| item.map_or_else(|error| json!(error.metric_label()), |chunk| json!(chunk)))
            .collect::<Vec<_>>()
            .await;
        (
            items,
            metrics.encode(&Snapshot::default()).expect("encodes"),
        )
    }

    #[tokio::test]
    async fn the_first_piece_has_a_role_and_every_piece_our_model_name() {
        let (items, _) = run(false, vec![Ok(text("e"))]).await;
        assert_eq!(
            items[0]["choices"][0]["delta"],
            json!({"role": "assistant", "content": "abcd"})
        );
        assert_eq!(items[1]["choices"][0]["delta"], json!({"content": "e"}));
        assert!(
            items
                .iter()
                .all(|item| item["model"] == "near" && item["id"] == "far-id"),
            "{items:?}"
        );
    }

    #[tokio::test]
    async fn usage_is_counted_always_and_shown_on_demand() {
        let usage = || Ok(ChatChunk::of_usage("x", "y", Some(Usage::new(3, 5))));
        let (items, metrics) = run(false, vec![usage()]).await;
        assert_eq!(items.len(), 1);
        assert!(
            metrics.contains(r#"tokens_total{model="near",kind="completion"} 5"#),
            "{metrics}"
        );
        let (items, _) = run(true, vec![usage()]).await;
        assert_eq!(
            items[1]["usage"],
            json!({"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8})
        );
        assert_eq!(items[1]["choices"], json!([]));
    }

    #[tokio::test]
    async fn an_api_that_does_not_count_is_estimated() {
        let (items, _) = run(true, Vec::new()).await;
        assert_eq!(items[1]["usage"]["prompt_tokens"], 2);
        assert_eq!(items[1]["usage"]["estimated"], true);
    }

    /// Says a word every second, for ever.
    struct Chatter;

    impl Rest for Chatter {
        fn next(&mut self) -> BoxFuture<'_, Result<Option<ChatChunk>, GatewayError>> {
            Box::pin(async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok(Some(text("word ")))
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_without_end_ends_with_its_time_and_is_counted() {
        let metrics = Arc::new(Metrics::default());
        let finisher = Finisher::new(
            "near",
            &request(true),
            Charge::nothing(),
            ModelCall::untraced(),
            Arc::clone(&metrics),
        );
        let deadline = Deadline::after(Duration::from_millis(3500));
        let items: Vec<_> = finisher
            .finish(vec![text("abcd")], Chatter, deadline)
            .collect()
            .await;
        let [said @ .., Err(error)] = items.as_slice() else {
            panic!("no error at the end")
        };
        assert_eq!((said.len(), error.metric_label()), (4, "total_timeout"));
        let metrics = metrics.encode(&Snapshot::default()).expect("encodes");
        assert!(
            metrics.contains(r#"tokens_total{model="near",kind="completion"} 5"#),
            "{metrics}"
        );
    }

    #[tokio::test]
    async fn an_error_ends_the_stream() {
        let cut = GatewayError::UpstreamInterrupted {
            model: "near".into(),
        };
        let (items, _) = run(true, vec![Err(cut), Ok(text("never seen"))]).await;
        assert_eq!(items[1..], [json!("upstream_interrupted")]);
    }
}
