//! On the paths of Anthropic's API, errors have Anthropic's shape, whichever layer gives them.

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::HeaderName;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};

use super::RequestId;
use crate::error::{AnthropicErrorBody, ErrorBody};
use crate::routing::MESSAGES;

const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// What a client understands.
pub enum Dialect {
    /// What handlers speak.
    OpenAi,
    /// Anthropic's.
    Anthropic,
}

impl Dialect {
    /// Of the path that a request asks for.
    pub fn of(request: &Request) -> Self {
        if is_anthropic(request.uri().path()) {
            Self::Anthropic
        } else {
            Self::OpenAi
        }
    }

    /// Put an error into the client's shape, with the name of the request.
    pub fn speak(self, response: Response, id: &RequestId) -> Response {
        match self {
            Self::OpenAi => response,
            Self::Anthropic => {
                let mut response = translate(response, id);
                if let Some(id) = id.echo() {
                    response.headers_mut().insert(REQUEST_ID, id);
                }
                response
            }
        }
    }
}

fn is_anthropic(path: &str) -> bool {
    path.strip_prefix(MESSAGES)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn translate(mut response: Response, id: &RequestId) -> Response {
    let Some(body) = response.extensions_mut().remove::<ErrorBody>() else {
        return response;
    };
    let mut body = AnthropicErrorBody::new(response.status(), &body);
    body.request_id = Some(id.name().to_owned());
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
