//! `POST /v1/responses`: OpenAI's Responses API, for every model. Nothing is stored.

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};

use super::answer::{Answer, ask, tell};
use super::{body, event_stream};
use crate::AppState;
use crate::conversion::responses::{ResponseEvents, chat_request, response};
use crate::error::GatewayError;
use crate::types::parse_object;

/// Answer a conversation.
pub async fn create(state: &AppState, request: Request) -> Result<Response, GatewayError> {
    let runtime = state.runtime();
    let (parts, body) = request.into_parts();
    let body = parse_object(&body::read(body, runtime.limits.max_body_bytes).await?)?;
    let request = chat_request(body)?;
    let answered = ask(state, &runtime, &parts, &request.chat)
        .await
        .map_err(|error| request.names.translate(error))?;
    let response = match answered.answer {
        Answer::Whole(answer) => Json(response(&answer.read()?, &request.echo)?).into_response(),
        Answer::Pieces(chunks) => event_stream::narrated(chunks, ResponseEvents::new(request.echo)),
    };
    Ok(tell(answered.told, response))
}

/// Whatever else clients do with a response needs one that was stored.
pub async fn stored() -> GatewayError {
    GatewayError::NotFound {
        message: "this gateway stores no responses: use POST /v1/responses with the whole conversation as `input`"
            .to_owned(),
    }
}
