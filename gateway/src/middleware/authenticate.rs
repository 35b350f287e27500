//! Only known callers pass.

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};

use crate::AppState;
use crate::audit::notes;
use crate::auth::{self, Visit};
use crate::error::GatewayError;

/// Refuse strangers; tell the inner layers, and the record of the request, who calls.
pub async fn authenticate<F: Future<Output = Response>>(
    state: &AppState,
    mut request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let identified = auth::authenticate(state, &state.runtime(), Visit::of(&request)).await;
    match identified {
        Err(denied) => GatewayError::from(denied).into_response(),
        Ok(caller) => {
            notes::caller(&caller.name);
            request.extensions_mut().insert(caller);
            next(request).await
        }
    }
}
