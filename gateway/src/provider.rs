//! Answers of remote APIs, whatever their dialect.
//!
//! One attempt at one API, with its timeouts; whether another model is tried is for `dispatch`. Dropping an answer
//! closes the connection, which tells the API that nobody listens any more.

mod attempt;
mod dialect;
mod endpoint;
mod health;
mod key_ring;
mod recurrence;
mod refusal;
mod response;
mod sse;
mod upstream_stream;

use std::pin::pin;
use std::time::Duration;

use crate::config::Remote;
use crate::error::GatewayError;
use crate::outbound::Outbound;
use crate::telemetry::ModelCall;
use crate::types::{ChatChunk, ChatRequest, WholeAnswer};

pub use health::{Cause, Health, Rest};
pub use key_ring::{KeyCause, KeyRest, KeyRing};
pub use upstream_stream::UpstreamStream;

/// How long a silent API is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Until a stream says its first content.
    pub first_token: Duration,
    /// Between two pieces of a stream.
    pub idle: Duration,
    /// Until a whole answer is there.
    pub whole: Duration,
}

/// Client of all remote APIs.
#[derive(Clone, Debug)]
pub struct Provider {
    outbound: Outbound,
    timeouts: Timeouts,
}

impl Provider {
    /// A client with these limits.
    pub fn new(outbound: Outbound, timeouts: Timeouts) -> Self {
        Self { outbound, timeouts }
    }

    /// The limits.
    pub fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// The same client with other limits.
    #[must_use]
    pub fn within(&self, timeouts: Timeouts) -> Self {
        Self {
            timeouts,
            ..self.clone()
        }
    }

    /// A whole answer of the API behind the model called `name`.
    pub async fn complete(
        &self,
        name: &str,
        remote: &Remote,
        request: &ChatRequest,
        call: &ModelCall,
    ) -> Result<WholeAnswer, GatewayError> {
        let limit = self.timeouts.whole;
        // Pinned where it begins: a timer that took it by value would copy it.
        let whole = pin!(async {
            let response = attempt::send(&self.outbound, name, remote, request, call).await?;
            response::whole(name, remote.config.provider, request.task, response).await
        });
        tokio::time::timeout(limit, whole)
            .await
            .unwrap_or_else(|_| Err(timed_out(name, "answer", limit)))
    }

    /// A streamed answer, with the pieces up to its first content at hand.
    pub async fn stream(
        &self,
        name: &str,
        remote: &Remote,
        request: &ChatRequest,
        call: &ModelCall,
    ) -> Result<(Vec<ChatChunk>, UpstreamStream), GatewayError> {
        let limit = self.timeouts.first_token;
        let start = pin!(async {
            let response = attempt::send(&self.outbound, name, remote, request, call).await?;
            let mut stream =
                UpstreamStream::new(name, remote.config.provider, response, self.timeouts.idle)?;
            let head = stream.head().await?;
            Ok((head, stream))
        });
        tokio::time::timeout(limit, start)
            .await
            .unwrap_or_else(|_| Err(timed_out(name, "first token", limit)))
    }
}

fn timed_out(name: &str, awaited: &'static str, limit: Duration) -> GatewayError {
    GatewayError::UpstreamTimeout {
        model: name.to_owned(),
        awaited,
        limit,
    }
}
