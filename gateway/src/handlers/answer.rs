//! A chat, from bytes to an answer: what the fixed endpoint and the routes' own paths share.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::StreamExt as _;
use http::HeaderValue;
use http_body_util::{BodyExt as _, LengthLimitError};

use crate::AppState;
use crate::dispatch::ChunkStream;
use crate::error::{ErrorBody, GatewayError};
use crate::routing;
use crate::types::{ChatChunk, ChatRequest};

/// A body that takes longer is an attack or a broken client.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Proxies cut silent connections; a comment is no token.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The model that answered, for the log and the metrics.
#[derive(Clone, Debug)]
pub struct AnsweredBy(pub String);

/// Answer the chat in a body that was sent to a path.
pub(super) async fn answer(
    state: &AppState,
    path: &str,
    body: Body,
) -> Result<Response, GatewayError> {
    let runtime = state.runtime();
    let request = ChatRequest::parse(&read_body(body, runtime.limits.max_body_bytes).await?)?;
    let candidates = routing::candidates(&runtime, path, request.model.as_deref())?;
    let (model, response) = if request.stream {
        let answered = state.dispatcher.stream(&candidates, &request).await?;
        (
            answered.model,
            event_stream(answered.answer).into_response(),
        )
    } else {
        let answered = state.dispatcher.complete(&candidates, &request).await?;
        (answered.model, Json(answered.answer).into_response())
    };
    Ok(name_model(model, response))
}

fn name_model(model: String, mut response: Response) -> Response {
    if let Ok(value) = HeaderValue::from_str(&model) {
        response.headers_mut().insert("x-claw-model", value);
    }
    response.extensions_mut().insert(AnsweredBy(model));
    response
}

async fn read_body(body: Body, limit: u64) -> Result<Bytes, GatewayError> {
    match tokio::time::timeout(BODY_TIMEOUT, body.collect()).await {
        Err(_) => Err(GatewayError::BodyTimeout {
            limit: BODY_TIMEOUT,
        }),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if is_too_long(&error) => Err(GatewayError::BodyTooLarge { limit }),
        Ok(Err(_)) => Err(GatewayError::InvalidRequest {
            message: "the request body was cut off: send as many bytes as Content-Length says"
                .to_owned(),
            param: None,
        }),
    }
}

fn is_too_long(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

fn event_stream(chunks: ChunkStream) -> impl IntoResponse {
    let events = Outcome::events(chunks).map(|outcome| Ok::<_, Infallible>(outcome.into_event()));
    let headers = [("cache-control", "no-cache"), ("x-accel-buffering", "no")];
    (
        headers,
        Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)),
    )
}

/// One event of a streamed answer.
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

    fn into_event(self) -> Event {
        match self {
            Self::Piece(chunk) => Event::default().data(json(&*chunk)),
            Self::Error(error) => {
                tracing::warn!(
                    error = crate::config::chain(&error),
                    "a streamed answer was cut off"
                );
                Event::default()
                    .event("error")
                    .data(json(&ErrorBody::from(&error)))
            }
            Self::Done => Event::default().data("[DONE]"),
        }
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("wire types have only string keys and finite numbers")
}
