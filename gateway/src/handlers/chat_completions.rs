//! `POST /v1/chat/completions`.

use axum::extract::Request;
use axum::response::Response;

use super::answer::answer;
use crate::AppState;
use crate::error::GatewayError;

/// Answer a chat; a route that matches the request wins over the model in the body.
pub async fn create(state: &AppState, request: Request) -> Result<Response, GatewayError> {
    answer(state, request).await
}
