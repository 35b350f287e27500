//! A streamed answer, piece by piece.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use claw_crds::gateway_config::ProviderConfig;
use http::Response;
use http::header::CONTENT_TYPE;
use hyper::body::Body as _;

use super::dialect::EventReader;

use super::recurrence::Recurrence;
use super::refusal::faulty;
use super::sse::SseParser;
use super::timed_out;
use crate::conversion::Piece;
use crate::error::GatewayError;
use crate::idle_timer::IdleTimer;
use crate::outbound::AnswerBody;
use crate::types::{ChatChunk, Said};

/// A piece, with the event that it was read from.
type Read = (Bytes, Box<ChatChunk>);

/// The rest of a streamed answer.
pub struct UpstreamStream {
    name: String,
    body: AnswerBody,
    idle: IdleTimer,
    parser: SseParser,
    reader: EventReader,
    recurrence: Recurrence,
    waiting: VecDeque<Bytes>,
    /// The API said how the answer ended; a connection that closes now cuts nothing off.
    answered: bool,
    done: bool,
}

impl UpstreamStream {
    /// Read a successful response as a stream.
    pub(super) fn new(
        name: &str,
        provider: ProviderConfig,
        response: Response<AnswerBody>,
        idle: Duration,
    ) -> Result<Self, GatewayError> {
        let content_type = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        if !content_type.starts_with("text/event-stream") {
            return Err(GatewayError::UpstreamMalformed {
                model: name.to_owned(),
                what: "no event stream",
            });
        }
        Ok(Self {
            name: name.to_owned(),
            body: response.into_body(),
            idle: IdleTimer::new(idle),
            parser: SseParser::default(),
            reader: EventReader::new(provider),
            recurrence: Recurrence::default(),
            waiting: VecDeque::new(),
            answered: false,
            done: false,
        })
    }

    /// The pieces up to the first one with content; an answer without any is malformed.
    pub(super) async fn head(&mut self) -> Result<Vec<ChatChunk>, GatewayError> {
        let mut head = Vec::new();
        while let Some((_, chunk)) = poll_fn(|context| self.poll_chunk(context)).await? {
            let has_content = chunk.has_content();
            head.push(*chunk);
            if has_content {
                return Ok(head);
            }
        }
        Err(self.malformed("an empty stream"))
    }

    /// What is said after the head, or `None` at the end.
    pub fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Said>, GatewayError>> {
        if let Poll::Ready(said) = self.poll_said(context) {
            self.idle.rest();
            return Poll::Ready(said);
        }
        ready!(self.idle.poll_passed(context));
        Poll::Ready(Err(timed_out(
            &self.name,
            "further token",
            self.idle.limit(),
        )))
    }

    fn poll_said(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Said>, GatewayError>> {
        while self.waiting.is_empty() && !self.done {
            ready!(self.poll_fill(context))?;
        }
        if self.reader.is_stateless()
            && let Some(event) = self.waiting.front()
            && let Some(text) = self.recurrence.text(event)
        {
            self.waiting.pop_front();
            return Poll::Ready(Ok(Some(Said::Again(text))));
        }
        let next = ready!(self.poll_chunk(context))?;
        Poll::Ready(Ok(next.map(|(event, chunk)| {
            if self.reader.is_stateless() {
                self.recurrence.learn(&event, &chunk);
            }
            Said::Piece(chunk)
        })))
    }

    /// The next piece.
    fn poll_chunk(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Read>, GatewayError>> {
        loop {
            while let Some(event) = self.waiting.pop_front() {
                let piece = self.reader.take(&event);
                match piece.map_err(|fault| faulty(&self.name, fault))? {
                    Piece::Chunk(chunk) => {
                        self.answered |= chunk.is_last_of_answer();
                        return Poll::Ready(Ok(Some((event, chunk))));
                    }
                    Piece::Nothing => {}
                    Piece::End => {
                        self.done = true;
                        self.waiting.clear();
                    }
                }
            }
            if self.done {
                return Poll::Ready(Ok(None));
            }
            ready!(self.poll_fill(context))?;
        }
    }

    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<(), GatewayError>> {
        match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            Some(Ok(frame)) => {
                // Trailers say nothing of an answer.
                let bytes = frame.into_data().unwrap_or_default();
                let fed = self.parser.feed(bytes, &mut self.waiting);
                Poll::Ready(fed.map_err(|_| self.malformed("an endless event")))
            }
            None | Some(Err(_)) if self.answered => {
                self.done = true;
                Poll::Ready(Ok(()))
            }
            None | Some(Err(_)) => Poll::Ready(Err(GatewayError::UpstreamInterrupted {
                model: self.name.clone(),
            })),
        }
    }

    fn malformed(&self, what: &'static str) -> GatewayError {
        GatewayError::UpstreamMalformed {
            model: self.name.clone(),
            what,
        }
    }
}
