//! The OpenAI shape of an error.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{GatewayError, whole_seconds};
use crate::config::chain;

/// `{"error": {…}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorDetail,
}

/// What OpenAI clients read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorDetail {
    /// For people.
    pub message: String,
    /// A class of errors.
    #[serde(rename = "type", default, deserialize_with = "nullable")]
    pub kind: String,
    /// The field at fault.
    #[serde(default)]
    pub param: Option<String>,
    /// For programs.
    #[serde(default, deserialize_with = "code")]
    pub code: Option<String>,
}

/// Some APIs say `"type": null`.
fn nullable<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.unwrap_or_default())
}

/// Some APIs use numbers as codes.
fn code<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(
        match Option::<serde_json::Value>::deserialize(deserializer)? {
            Some(serde_json::Value::String(text)) => Some(text),
            Some(serde_json::Value::Number(number)) => Some(number.to_string()),
            _ => None,
        },
    )
}

impl From<&GatewayError> for ErrorBody {
    fn from(error: &GatewayError) -> Self {
        if let GatewayError::UpstreamRejected { detail, .. } = error {
            return Self {
                error: detail.clone(),
            };
        }
        let param = match error {
            GatewayError::InvalidRequest { param, .. } => param.clone(),
            GatewayError::UnsupportedField { field, .. }
            | GatewayError::UnsupportedByProvider { field, .. }
            | GatewayError::InputTooLong { field, .. } => Some(field.clone()),
            GatewayError::LimitTooSmall { .. } => Some("max_tokens".to_owned()),
            GatewayError::PromptTooLong { .. } => Some("messages".to_owned()),
            GatewayError::ModelNotFound { .. } | GatewayError::UnsupportedTask { .. } => {
                Some("model".to_owned())
            }
            _ => None,
        };
        let code = match error {
            GatewayError::InvalidRequest { .. } => None,
            other => Some(other.metric_label().to_owned()),
        };
        Self {
            error: ErrorDetail {
                message: error.to_string(),
                kind: kind(error.status()).to_owned(),
                param,
                code,
            },
        }
    }
}

/// OpenAI's names of error classes.
fn kind(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    }
}

pub(super) fn respond(error: &GatewayError) -> Response {
    if error.status().is_server_error() {
        // The one place where the cause is told; the caller gets to know less.
        tracing::warn!(
            code = error.metric_label(),
            error = chain(error),
            "a request failed"
        );
    }
    let body = ErrorBody::from(error);
    let mut response = (error.status(), Json(&body)).into_response();
    // For layers that put errors into the shape of other clients.
    response.extensions_mut().insert(body);
    let headers = response.headers_mut();
    if let Some(retry_after) = error.retry_after() {
        headers.insert(
            RETRY_AFTER,
            HeaderValue::from(whole_seconds(retry_after).max(1)),
        );
    }
    match error {
        GatewayError::Unauthorized { .. } => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(REALM));
        }
        GatewayError::InvalidCredential { .. } | GatewayError::CredentialExpired { .. } => {
            headers.insert(WWW_AUTHENTICATE, invalid_token(&error.to_string()));
        }
        GatewayError::LimitReached {
            headers: standing, ..
        } => standing.write(headers),
        GatewayError::MethodNotAllowed { allow, .. } => {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        _ => {}
    }
    response
}

const REALM: &str = "Bearer realm=\"claw\"";

/// The challenge of RFC 6750 (3.1) for a credential that was shown and is not good.
fn invalid_token(description: &str) -> HeaderValue {
    // All that may stand between the quotes.
    let is_allowed = |c: char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\');
    let description = description.replace(|c| !is_allowed(c), "?");
    let text = format!("{REALM}, error=\"invalid_token\", error_description=\"{description}\"");
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(REALM))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn rendered(error: &GatewayError) -> serde_json::Value {
        serde_json::to_value(ErrorBody::from(error)).expect("serializes")
    }

    #[test]
    fn an_unknown_model_is_named_with_the_known_ones() {
        let error = GatewayError::ModelNotFound {
            model: "gpt-9".into(),
            known: "`tiny`".into(),
        };
        assert_eq!(
            rendered(&error),
            serde_json::json!({"error": {
                "message": "the model `gpt-9` does not exist: known models are `tiny`",
                "type": "invalid_request_error",
                "param": "model",
                "code": "model_not_found",
            }})
        );
    }

    #[test]
    fn a_rate_limit_says_when_to_come_back() {
        let response = respond(&GatewayError::RateLimited {
            limit: 2,
            retry_after: Duration::from_millis(1500),
        });
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[RETRY_AFTER], "2");
    }

    #[test]
    fn an_upstream_refusal_is_passed_on_word_for_word() {
        let detail: ErrorDetail =
            serde_json::from_str(r#"{"message": "too hot", "type": null, "code": 42}"#)
                .expect("parses");
        let error = GatewayError::UpstreamRejected {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            detail,
        };
        assert_eq!(
            rendered(&error),
            serde_json::json!({"error": {"message": "too hot", "type": "", "param": null, "code": "42"}})
        );
    }

    #[test]
    fn a_missing_key_is_answered_with_a_challenge() {
        let response = respond(&GatewayError::Unauthorized { message: "no key" });
        assert_eq!(response.headers()[WWW_AUTHENTICATE], REALM);
    }

    #[test]
    fn a_wrong_token_is_answered_with_what_is_wrong() {
        let response = respond(&GatewayError::InvalidCredential {
            code: "invalid_token",
            message: "the claim `\"\r\nx` is absent".into(),
        });
        assert_eq!(
            response.headers()[WWW_AUTHENTICATE],
            "Bearer realm=\"claw\", error=\"invalid_token\", error_description=\"the claim `???x` is absent\""
        );
    }
}
