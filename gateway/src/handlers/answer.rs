//! A chat, from a checked request to an answer: what every endpoint that asks a model shares.

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::request::Parts;

use super::{body, event_stream};
use crate::AppState;
use crate::config::RuntimeConfig;
use crate::dispatch::{Answered, ChunkStream};
use crate::error::GatewayError;
use crate::routing::{self, Asked};
use crate::types::{ChatCompletion, ChatRequest};

/// The model that answered, for the log and the metrics.
#[derive(Clone, Debug)]
pub struct AnsweredBy(pub String);

/// The rule that chose the model, for the log.
#[derive(Clone, Debug)]
pub struct RoutedBy(pub String);

/// An answer, as a whole or as it comes.
pub(super) enum Answer {
    Whole(Box<ChatCompletion>),
    Pieces(ChunkStream),
}

/// Answer the chat in the body of a request.
pub(super) async fn answer(state: &AppState, request: Request) -> Result<Response, GatewayError> {
    let runtime = state.runtime();
    let (parts, body) = request.into_parts();
    let chat = ChatRequest::parse(&body::read(body, runtime.limits.max_body_bytes).await?)?;
    let answered = ask(state, &runtime, &parts, &chat).await?;
    let response = match answered.answer {
        Answer::Whole(completion) => Json(completion).into_response(),
        Answer::Pieces(chunks) => event_stream::chat(chunks),
    };
    Ok(name_model(answered.model, answered.route, response))
}

/// Have a chat answered, whatever dialect it came in; `parts` is the request without its body.
pub(super) async fn ask(
    state: &AppState,
    runtime: &RuntimeConfig,
    parts: &Parts,
    chat: &ChatRequest,
) -> Result<Answered<Answer>, GatewayError> {
    let asked = Asked {
        path: parts.uri.path(),
        model: chat.model.as_deref(),
        headers: &parts.headers,
    };
    let candidates = routing::candidates(runtime, asked)?;
    if chat.stream {
        let answered = state.dispatcher.stream(&candidates, chat).await?;
        Ok(answered.map(Answer::Pieces))
    } else {
        let answered = state.dispatcher.complete(&candidates, chat).await?;
        Ok(answered.map(|completion| Answer::Whole(Box::new(completion))))
    }
}

/// Tell the client, the log and the metrics which model answered, and the log which rule chose it.
pub(super) fn name_model(model: String, route: Option<String>, mut response: Response) -> Response {
    if let Ok(value) = HeaderValue::from_str(&model) {
        response.headers_mut().insert("x-claw-model", value);
    }
    response.extensions_mut().insert(AnsweredBy(model));
    if let Some(route) = route {
        response.extensions_mut().insert(RoutedBy(route));
    }
    response
}
