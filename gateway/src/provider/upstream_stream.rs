//! A streamed answer, piece by piece.

use std::collections::VecDeque;
use std::time::Duration;

use http::header::CONTENT_TYPE;

use super::sse::SseParser;
use super::timed_out;
use crate::error::GatewayError;
use crate::types::ChatChunk;

/// The rest of a streamed answer.
pub struct UpstreamStream {
    name: String,
    response: reqwest::Response,
    idle: Duration,
    parser: SseParser,
    waiting: VecDeque<Vec<u8>>,
    /// The API said how the answer ended; a connection that closes now cuts nothing off.
    answered: bool,
    done: bool,
}

impl UpstreamStream {
    /// Read a successful response as a stream.
    pub(super) fn new(
        name: &str,
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
                if event == b"[DONE]" {
                    self.done = true;
                    self.waiting.clear();
                } else {
                    return self.chunk(&event).map(Some);
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

    fn chunk(&mut self, event: &[u8]) -> Result<ChatChunk, GatewayError> {
        let chunk: ChatChunk = serde_json::from_slice(event)
            .map_err(|_| self.malformed("no chat completion chunk"))?;
        if chunk
            .extra
            .get("error")
            .is_some_and(|error| !error.is_null())
        {
            return Err(self.malformed("an error within the stream"));
        }
        self.answered |= chunk.is_last_of_answer();
        Ok(chunk)
    }

    fn malformed(&self, what: &'static str) -> GatewayError {
        GatewayError::UpstreamMalformed {
            model: self.name.clone(),
            what,
        }
    }
}
