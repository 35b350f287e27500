//! Every path that no endpoint has: the routes' own paths, and a helpful 404 for the rest.

use axum::extract::{Request, State};
use axum::response::Response;
use http::{Method, Uri};

use super::answer::answer;
use crate::AppState;
use crate::error::GatewayError;
use crate::routing;

/// Answer a chat at a route's path.
pub async fn create(
    State(state): State<AppState>,
    request: Request,
) -> Result<Response, GatewayError> {
    let path = request.uri().path();
    if !state.peek().routes.serves(path) {
        return Err(routing::unknown_path(path));
    }
    if request.method() != Method::POST {
        return Err(GatewayError::MethodNotAllowed {
            method: request.method().clone(),
            path: path.to_owned(),
            allow: "POST",
        });
    }
    answer(&state, request).await
}

/// An endpoint's path with a method that it does not have.
pub async fn method_not_allowed(method: Method, uri: Uri) -> GatewayError {
    let path = uri.path();
    let is_read = path == "/openapi.json" || path == "/v1/models";
    let allow = if is_read || path.starts_with("/v1/models/") {
        "GET"
    } else {
        "POST"
    };
    GatewayError::MethodNotAllowed {
        method,
        path: uri.path().to_owned(),
        allow,
    }
}
