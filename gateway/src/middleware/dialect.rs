//! On the paths of Anthropic's API, credentials and errors have Anthropic's shape, whichever layer gives them.

use axum::Json;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::RequestId;
use crate::error::{AnthropicErrorBody, ErrorBody};
use crate::routing::MESSAGES;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// Take Anthropic's credential as the usual one, and put errors into its shape.
pub async fn speak(mut request: Request, next: Next) -> Response {
    if !is_anthropic(request.uri().path()) {
        return next.run(request).await;
    }
    take_api_key(request.headers_mut());
    let id = request.extensions().get::<RequestId>().cloned();
    let mut response = translate(next.run(request).await, id.as_ref());
    if let Some(id) = id.and_then(|id| HeaderValue::from_str(&id.0).ok()) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

fn is_anthropic(path: &str) -> bool {
    path.strip_prefix(MESSAGES)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// An `Authorization` header wins.
fn take_api_key(headers: &mut HeaderMap) {
    let Some(key) = headers.remove(API_KEY) else {
        return;
    };
    if headers.contains_key(AUTHORIZATION) {
        return;
    }
    let bearer = [b"Bearer ", key.as_bytes()].concat();
    if let Ok(mut bearer) = HeaderValue::from_bytes(&bearer) {
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
    }
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

    #[test]
    fn a_key_becomes_a_bearer_token_unless_there_is_one() {
        let mut headers = HeaderMap::from_iter([(API_KEY, HeaderValue::from_static("k"))]);
        take_api_key(&mut headers);
        assert_eq!(headers[AUTHORIZATION], "Bearer k");
        assert!(headers[AUTHORIZATION].is_sensitive());
        headers.insert(API_KEY, HeaderValue::from_static("other"));
        take_api_key(&mut headers);
        assert_eq!(headers[AUTHORIZATION], "Bearer k");
    }
}
