//! A chat, from a checked request to an answer: what every endpoint that asks a model shares.

mod loading;

use std::sync::Arc;

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderName, HeaderValue};

use super::{body, event_stream};
use crate::AppState;
use crate::audit::notes;
use crate::auth::Caller;
use crate::config::RuntimeConfig;
use crate::dispatch::{Answered, ChunkStream};
use crate::error::GatewayError;
use crate::limits::{Account, Estimate, RateHeaders};
use crate::routing::{self, Asked, Candidates};
use crate::types::{ChatRequest, WholeAnswer};

/// The model that answered.
const ANSWERED_BY: HeaderName = HeaderName::from_static("x-claw-model");

/// An answer, as a whole or as it comes.
pub(super) enum Answer {
    Whole(WholeAnswer),
    Pieces(ChunkStream),
}

/// An answer, and what is told of it.
pub(super) struct Given {
    pub(super) answer: Answer,
    pub(super) told: Told,
}

/// Who gave an answer, and what is left of the limits.
pub(super) struct Told {
    /// Absent where an answer has not begun.
    model: Option<String>,
    route: Option<String>,
    limits: RateHeaders,
}

/// Answer the chat in the body of a request.
pub(super) async fn answer(state: &AppState, request: Request) -> Result<Response, GatewayError> {
    let runtime = state.runtime();
    let (parts, body) = request.into_parts();
    let chat = ChatRequest::parse(&body::read(body, runtime.limits.max_body_bytes).await?)?;
    let given = ask(state, &runtime, &parts, &chat).await?;
    let response = match given.answer {
        Answer::Whole(answer) => whole(answer),
        Answer::Pieces(chunks) => event_stream::chat(chunks),
    };
    Ok(tell(given.told, response))
}

/// Have a chat answered, whatever dialect it came in; `parts` is the request without its body.
pub(super) async fn ask(
    state: &AppState,
    runtime: &Arc<RuntimeConfig>,
    parts: &Parts,
    chat: &ChatRequest,
) -> Result<Given, GatewayError> {
    let asked = Asked {
        path: parts.uri.path(),
        model: chat.model.as_deref(),
        headers: &parts.headers,
    };
    let candidates = permitted(runtime, parts, asked)?;
    ask_those(state, runtime, parts, &candidates, chat).await
}

/// The same of models that were chosen before.
pub(super) async fn ask_those(
    state: &AppState,
    runtime: &Arc<RuntimeConfig>,
    parts: &Parts,
    candidates: &Candidates<'_>,
    chat: &ChatRequest,
) -> Result<Given, GatewayError> {
    let account = parts.extensions.get::<Account>();
    let estimate = Estimate::of(chat);
    let limiter = &state.limiter;
    let permit = limiter
        .admit(runtime, account, estimate, &candidates.models)
        .await?;
    let dispatcher = &state.dispatcher;
    if chat.stream && loading::may_be_held(candidates) {
        let held = loading::stream(dispatcher, runtime, candidates, chat, permit);
        return Box::pin(held).await;
    }
    let Answered {
        model,
        route,
        answer,
    } = if chat.stream {
        let answered = dispatcher.stream(candidates, chat, &permit).await?;
        answered.map(Answer::Pieces)
    } else {
        let answered = dispatcher.complete(candidates, chat, &permit).await?;
        answered.map(Answer::Whole)
    };
    let limits = permit.rate_headers();
    Ok(Given {
        answer,
        told: Told {
            model: Some(model),
            route,
            limits,
        },
    })
}

/// A whole answer in OpenAI's form.
pub(super) fn whole(answer: WholeAnswer) -> Response {
    match answer {
        WholeAnswer::Read(completion) => Json(completion).into_response(),
        WholeAnswer::Sent(sent) => {
            let json = HeaderValue::from_static("application/json");
            ([(CONTENT_TYPE, json)], sent.body()).into_response()
        }
    }
}

/// Tell the client which model answered and what is left of its limits.
pub(super) fn tell(told: Told, mut response: Response) -> Response {
    let Told {
        model,
        route,
        limits,
    } = told;
    limits.write(response.headers_mut());
    match model {
        Some(model) => name_model(model, route, response),
        None => response,
    }
}

/// The models to try for a request, of those that its caller may use.
pub(super) fn permitted<'a>(
    runtime: &'a RuntimeConfig,
    parts: &Parts,
    asked: Asked<'_>,
) -> Result<Candidates<'a>, GatewayError> {
    let grant = &Caller::of(parts)?.grant;
    let candidates = routing::candidates(runtime, asked).map_err(|error| grant.veiled(error))?;
    grant.permitted(candidates, asked.model)
}

/// Tell the client, the log and the metrics which model answered, and the log which rule chose it.
pub(super) fn name_model(model: String, route: Option<String>, mut response: Response) -> Response {
    if let Ok(value) = HeaderValue::from_str(&model) {
        response.headers_mut().insert(ANSWERED_BY, value);
    }
    notes::answered_by(model, route);
    response
}
