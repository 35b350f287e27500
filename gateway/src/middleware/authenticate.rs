//! Only known callers pass.

use axum::extract::Request;

use crate::AppState;
use crate::audit::notes;
use crate::auth::{self, Visit};
use crate::error::GatewayError;

/// Refuse strangers; tell whoever comes later, and the record of the request, who calls.
pub async fn authenticate(state: &AppState, request: &mut Request) -> Result<(), GatewayError> {
    let caller = auth::authenticate(state, &state.runtime(), Visit::of(request)).await?;
    notes::caller(&caller.name);
    request.extensions_mut().insert(caller);
    Ok(())
}
