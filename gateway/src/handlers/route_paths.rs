//! Every path that no endpoint has: the routes' own paths, and a helpful 404 for the rest.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{Method, Uri};

use super::answer::answer;
use crate::AppState;
use crate::error::GatewayError;
use crate::routing;

/// Answer a chat at a route's path.
pub async fn create(
    State(state): State<AppState>,
    method: Method,
    uri: Uri,
    body: Body,
) -> Result<Response, GatewayError> {
    let path = uri.path();
    if state.peek().routes.find(path).is_none() {
        return Err(routing::unknown_path(path));
    }
    if method != Method::POST {
        return Err(GatewayError::MethodNotAllowed {
            method,
            path: path.to_owned(),
            allow: "POST",
        });
    }
    answer(&state, path, body).await
}

/// An endpoint's path with a method that it does not have.
pub async fn method_not_allowed(method: Method, uri: Uri) -> GatewayError {
    let allow = if uri.path() == routing::CHAT_COMPLETIONS {
        "POST"
    } else {
        "GET"
    };
    GatewayError::MethodNotAllowed {
        method,
        path: uri.path().to_owned(),
        allow,
    }
}
