//! A streamed answer, piece by piece.

use std::collections::VecDeque;
use std::time::Duration;

use claw_crds::gateway_config::ProviderConfig;
use http::header::CONTENT_TYPE;

use super::dialect::EventReader;
use super::refusal::faulty;
use super::sse::SseParser;
use super::timed_out;
use crate::conversion::Piece;
use crate::error::GatewayError;
use crate::types::ChatChunk;

/// The rest of a streamed answer.
pub struct UpstreamStream {
    name: String,
    response: reqwest::Response,
    idle: Duration,
    parser: SseParser,
    reader: EventReader,
    waiting: VecDeque<Vec<u8>>,
    /// The API said how the answer ended; a connection that closes now cuts nothing off.
    answered: bool,
    done: bool,
}

impl UpstreamStream {
    /// Read a successful response as a stream.
    pub(super) fn new(
        name: &str,
        provider: ProviderConfig,
        response: reqwest::Response,
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
            response,
            idle,
            parser: SseParser::default(),
            reader: EventReader::new(provider),
            waiting: VecDeque::new(),
            answered: false,
            done: false,
        })
    }

    /// The pieces up to the first one with content; an answer without any is malformed.
    pub(super) async fn head(&mut self) -> Result<Vec<ChatChunk>, GatewayError> {
        let mut head = Vec::new();
        while let Some(chunk) = self.read().await? {
            let has_content = chunk.has_content();
            head.push(chunk);
            if has_content {
                return Ok(head);
            }
        }
        Err(self.malformed("an empty stream"))
    }

    /// The next piece, or `None` at the end.
    pub async fn next(&mut self) -> Result<Option<ChatChunk>, GatewayError> {
        let idle = self.idle;
        match tokio::time::timeout(idle, self.read()).await {
            Ok(result) => result,
            Err(_) => Err(timed_out(&self.name, "further token", idle)),
        }
    }

    async fn read(&mut self) -> Result<Option<ChatChunk>, GatewayError> {
        loop {
            while let Some(event) = self.waiting.pop_front() {
                let piece = self.reader.take(&event);
                match piece.map_err(|fault| faulty(&self.name, fault))? {
                    Piece::Chunk(chunk) => {
                        self.answered |= chunk.is_last_of_answer();
                        return Ok(Some(*chunk));
                    }
                    Piece::Nothing => {}
                    Piece::End => {
                        self.done = true;
                        self.waiting.clear();
                    }
                }
            }
            if self.done {
                return Ok(None);
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<(), GatewayError> {
        match self.response.chunk().await {
            Ok(Some(bytes)) => {
                let mut events = Vec::new();
                self.parser
                    .feed(&bytes, &mut events)
                    .map_err(|_| self.malformed("an endless event"))?;
                self.waiting.extend(events);
                Ok(())
            }
            Ok(None) | Err(_) if self.answered => {
                self.done = true;
                Ok(())
            }
            Ok(None) | Err(_) => Err(GatewayError::UpstreamInterrupted {
                model: self.name.clone(),
            }),
        }
    }

    fn malformed(&self, what: &'static str) -> GatewayError {
        GatewayError::UpstreamMalformed {
            model: self.name.clone(),
            what,
        }
    }
}
