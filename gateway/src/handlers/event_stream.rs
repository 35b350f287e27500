//! Streamed answers as server-sent events.

mod chat_events;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use serde_json::Value;

use crate::audit::notes;
use crate::conversion::summary::summary_chunk;
use crate::conversion::{NamedEvent, Narrator};
use crate::dispatch::{ChunkStream, Held};
use crate::error::{ErrorBody, GatewayError};
use crate::types::{ChatChunk, text_chunk};
use chat_events::ChatEvents;

/// Proxies cut silent connections; a comment is no token.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const HEADERS: [(&str, &str); 2] = [("cache-control", "no-cache"), ("x-accel-buffering", "no")];

/// The events of a chat completion.
pub(super) fn chat(chunks: ChunkStream) -> Response {
    let headers = [("content-type", "text/event-stream")];
    let body = Body::new(ChatEvents::new(chunks, KEEP_ALIVE));
    (HEADERS, headers, body).into_response()
}

/// The events of a completion of a text.
pub(super) fn completions(chunks: ChunkStream) -> Response {
    pieces(chunks, text_chunk)
}

/// The events of a summary.
pub(super) fn summaries(chunks: ChunkStream) -> Response {
    pieces(chunks, summary_chunk)
}

fn pieces(chunks: ChunkStream, form: fn(ChatChunk) -> Value) -> Response {
    let held = chunks.waits_for().cloned();
    let events =
        Outcome::events(chunks).map(move |outcome| Ok::<_, Infallible>(outcome.into_event(form)));
    respond(events, held)
}

/// The same pieces, told by a narrator of another dialect.
pub(super) fn narrated(chunks: ChunkStream, narrator: impl Narrator) -> Response {
    let held = chunks.waits_for().cloned();
    let telling = Telling {
        chunks: Some(chunks),
        narrator,
        waiting: VecDeque::new(),
    };
    let events = futures::stream::unfold(telling, |mut telling| async move {
        let NamedEvent { name, data } = telling.next().await?;
        let event = Event::default().event(name).data(json(&data));
        Some((Ok::<_, Infallible>(event), telling))
    });
    respond(events, held)
}

fn respond(
    events: impl futures::Stream<Item = Result<Event, Infallible>> + Send + 'static,
    held: Option<Held>,
) -> Response {
    let words = futures::stream::iter(held).flat_map(Held::words);
    let comments = words.map(|words| Ok(Event::default().comment(words)));
    let events = futures::stream::select(events, comments);
    let events = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    (HEADERS, events).into_response()
}

struct Telling<N> {
    /// `None` after the last piece.
    chunks: Option<ChunkStream>,
    narrator: N,
    waiting: VecDeque<NamedEvent>,
}

impl<N: Narrator> Telling<N> {
    async fn next(&mut self) -> Option<NamedEvent> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            let outcome = match self.chunks.as_mut()?.next().await {
                Some(Ok(chunk)) => self.narrator.piece(&chunk),
                Some(Err(error)) => Err(error),
                None => {
                    self.chunks = None;
                    Ok(self.narrator.end())
                }
            };
            let events = outcome.unwrap_or_else(|error| {
                self.chunks = None;
                tell(&error);
                self.narrator.error(&error)
            });
            self.waiting.extend(events);
        }
    }
}

/// One event of a stream without names.
enum Outcome {
    Piece(Box<ChatChunk>),
    Error(GatewayError),
    Done,
}

impl Outcome {
    /// The pieces, then either an error or `[DONE]`, never both: a client must not take half an answer for a whole.
    fn events(chunks: ChunkStream) -> impl futures::Stream<Item = Self> {
        futures::stream::unfold(Some(chunks), |chunks| async {
            let mut chunks = chunks?;
            match chunks.next().await {
                Some(Ok(chunk)) => Some((Self::Piece(Box::new(chunk)), Some(chunks))),
                Some(Err(error)) => Some((Self::Error(error), None)),
                None => Some((Self::Done, None)),
            }
        })
    }

    fn into_event(self, form: fn(ChatChunk) -> Value) -> Event {
        match self {
            Self::Piece(chunk) => Event::default().data(json(&form(*chunk))),
            Self::Error(error) => {
                tell(&error);
                Event::default()
                    .event("error")
                    .data(json(&ErrorBody::from(&error)))
            }
            Self::Done => Event::default().data("[DONE]"),
        }
    }
}

fn tell(error: &GatewayError) {
    notes::reason(error.metric_label());
    tracing::warn!(
        error = crate::config::chain(error),
        "a streamed answer was cut off"
    );
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("wire types have only string keys and finite numbers")
}
