//! On the paths of Anthropic's API, errors have Anthropic's shape, whichever layer gives them.

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue};

use super::RequestId;
use crate::error::{AnthropicErrorBody, ErrorBody};
use crate::routing::MESSAGES;

const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// Put errors into Anthropic's shape.
pub async fn speak<F: Future<Output = Response>>(
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    if !is_anthropic(request.uri().path()) {
        return next(request).await;
    }
    let id = request.extensions().get::<RequestId>().cloned();
    let mut response = translate(next(request).await, id.as_ref());
    if let Some(id) = id.and_then(|id| HeaderValue::from_str(&id.0).ok()) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

fn is_anthropic(path: &str) -> bool {
    path.strip_prefix(MESSAGES)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn translate(mut response: Response, id: Option<&RequestId>) -> Response {
    let Some(body) = response.extensions_mut().remove::<ErrorBody>() else {
        return response;
    };
    let mut body = AnthropicErrorBody::new(response.status(), &body);
    body.request_id = id.map(|id| id.0.clone());
    let (mut parts, _) = response.into_parts();
    // Of the other shape's body.
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.remove(CONTENT_TYPE);
    let (shape, body) = Json(body).into_response().into_parts();
    parts.headers.extend(shape.headers);
    Response::from_parts(parts, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_anthropics_paths_speak_it() {
        assert!(is_anthropic("/v1/messages") && is_anthropic("/v1/messages/count_tokens"));
        assert!(!is_anthropic("/v1/messages2") && !is_anthropic("/v1/chat/completions"));
    }
}
