//! `POST /v1/chat/completions`.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;

use super::answer::answer;
use crate::AppState;
use crate::error::GatewayError;
use crate::routing::CHAT_COMPLETIONS;

/// Answer a chat; a route that matches this path wins over the model in the body.
pub async fn create(State(state): State<AppState>, body: Body) -> Result<Response, GatewayError> {
    answer(&state, CHAT_COMPLETIONS, body).await
}
