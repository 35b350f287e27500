//! The Anthropic shape of an error.

use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use super::{ErrorBody, GatewayError};

/// `{"type": "error", "error": {…}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AnthropicErrorBody {
    /// Always `error`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The error.
    pub error: AnthropicErrorDetail,
    /// The request's name, in answers that are no stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// What Anthropic's clients read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AnthropicErrorDetail {
    /// A class of errors.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// For people.
    pub message: String,
}

impl AnthropicErrorBody {
    /// The same error as one that is shaped for OpenAI's clients.
    pub fn new(status: StatusCode, body: &ErrorBody) -> Self {
        Self {
            kind: "error",
            error: AnthropicErrorDetail {
                kind: kind(status),
                message: body.error.message.clone(),
            },
            request_id: None,
        }
    }
}

impl From<&GatewayError> for AnthropicErrorBody {
    fn from(error: &GatewayError) -> Self {
        Self::new(error.status(), &ErrorBody::from(error))
    }
}

/// Anthropic's names of error classes.
fn kind(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        408 | 504 => "timeout_error",
        503 | 529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_is_told_in_anthropics_words() {
        let error = GatewayError::invalid("max_tokens", "`max_tokens` is missing");
        assert_eq!(
            json!(AnthropicErrorBody::from(&error)),
            json!({
                "type": "error",
                "error": {"type": "invalid_request_error", "message": "`max_tokens` is missing"},
            })
        );
        assert_eq!(
            AnthropicErrorBody::from(&GatewayError::Internal).error.kind,
            "api_error"
        );
    }
}
