//! Only known callers pass.

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};

use crate::AppState;
use crate::auth::{self, Visit};
use crate::error::GatewayError;

/// Refuse strangers; tell the inner layers, and the outer ones by the response, who calls.
pub async fn authenticate<F: Future<Output = Response>>(
    state: &AppState,
    mut request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let identified = auth::authenticate(state, &state.runtime(), Visit::of(&request)).await;
    match identified {
        Err(denied) => GatewayError::from(denied).into_response(),
        Ok(caller) => {
            request.extensions_mut().insert(caller.clone());
            let mut response = next(request).await;
            response.extensions_mut().insert(caller);
            response
        }
    }
}
