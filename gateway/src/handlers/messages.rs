//! `POST /v1/messages` and `POST /v1/messages/count_tokens`: Anthropic's dialect, for every model.

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};

use super::answer::{Answer, ask, name_model, permitted, tell};
use super::{body, event_stream};
use crate::AppState;
use crate::conversion::messages::{Demand, MessageEvents, chat_request, message};
use crate::dispatch::prompt_bytes;
use crate::error::GatewayError;
use crate::routing::{Asked, MESSAGES};
use crate::types::{TokenCount, Usage, parse_object};

/// Says whether a count is `exact` or an `estimate`.
const HOW_COUNTED: &str = "x-claw-token-count";

/// Answer a conversation.
pub async fn create(state: &AppState, request: Request) -> Result<Response, GatewayError> {
    let runtime = state.runtime();
    let (parts, body) = request.into_parts();
    let body = parse_object(&body::read(body, runtime.limits.max_body_bytes).await?)?;
    let request = chat_request(body, Demand::Answer)?;
    let answered = ask(state, &runtime, &parts, &request.chat)
        .await
        .map_err(|error| request.names.translate(error))?;
    let response = match answered.answer {
        Answer::Whole(answer) => {
            Json(message(&answer.read()?, &request.stop_sequences)?).into_response()
        }
        Answer::Pieces(chunks) => {
            let estimate = Usage::estimate(prompt_bytes(&request.chat), 0);
            event_stream::narrated(chunks, MessageEvents::new(request.stop_sequences, estimate))
        }
    };
    Ok(tell(answered.told, response))
}

/// Tell how long a prompt is.
pub async fn count_tokens(state: &AppState, request: Request) -> Result<Response, GatewayError> {
    let runtime = state.runtime();
    let (parts, body) = request.into_parts();
    let body = parse_object(&body::read(body, runtime.limits.max_body_bytes).await?)?;
    let request = chat_request(body, Demand::Count)?;
    let asked = Asked {
        path: MESSAGES,
        model: request.chat.model.as_deref(),
        headers: &parts.headers,
    };
    let candidates = permitted(&runtime, &parts, asked)?;
    let counted = state
        .dispatcher
        .count_tokens(&candidates, &request.chat)
        .await
        .map_err(|error| request.names.translate(error))?;
    let how = if counted.answer.is_exact {
        "exact"
    } else {
        "estimate"
    };
    let count = TokenCount {
        input_tokens: counted.answer.tokens,
    };
    let response = ([(HOW_COUNTED, how)], Json(count)).into_response();
    Ok(name_model(counted.model, counted.route, response))
}
