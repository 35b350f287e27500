//! What kind of failure an error is. Exhaustive: a new variant does not compile until it is classified.

use std::time::Duration;

use http::StatusCode;

use super::GatewayError;

impl GatewayError {
    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::InvalidRequest { .. }
            | Self::UnsupportedField { .. }
            | Self::UnsupportedByProvider { .. }
            | Self::UnsupportedTask { .. }
            | Self::PromptTooLong { .. }
            | Self::InputTooLong { .. }
            | Self::LimitTooSmall { .. } => StatusCode::BAD_REQUEST,
            Self::Unauthorized { .. }
            | Self::InvalidCredential { .. }
            | Self::CredentialExpired { .. } => StatusCode::UNAUTHORIZED,
            Self::Forbidden { .. } => StatusCode::FORBIDDEN,
            Self::NotFound { .. } | Self::ModelNotFound { .. } => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTimeout { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyCompressed { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RateLimited { .. }
            | Self::LimitReached { .. }
            | Self::TooManyFailures { .. }
            | Self::Overloaded { .. }
            | Self::UpstreamRateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::LimitsUnavailable { .. }
            | Self::IdentityUnavailable { .. }
            | Self::ModelNotReady { .. }
            | Self::ModelUnavailable { .. }
            | Self::RouteWithoutModel { .. }
            | Self::AuditUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::UpstreamUnreachable { .. }
            | Self::UpstreamNotAllowed { .. }
            | Self::UpstreamStatus { .. }
            | Self::UpstreamMalformed { .. }
            | Self::UpstreamInterrupted { .. } => StatusCode::BAD_GATEWAY,
            Self::UpstreamTimeout { .. }
            | Self::ModelTimeout { .. }
            | Self::TotalTimeout { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::UpstreamRejected { status, .. } => *status,
            Self::GenerationFailed { .. } | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Whether another model could answer where this one did not.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::LimitReached { is_of_model, .. } | Self::LimitTooSmall { is_of_model, .. } => {
                *is_of_model
            }
            Self::UnsupportedField { .. }
            | Self::UnsupportedByProvider { .. }
            | Self::UnsupportedTask { .. }
            | Self::PromptTooLong { .. }
            | Self::InputTooLong { .. }
            | Self::Overloaded { .. }
            | Self::ModelNotReady { .. }
            | Self::ModelUnavailable { .. }
            | Self::UpstreamUnreachable { .. }
            | Self::UpstreamNotAllowed { .. }
            | Self::UpstreamTimeout { .. }
            | Self::ModelTimeout { .. }
            | Self::UpstreamStatus { .. }
            | Self::UpstreamRateLimited { .. }
            | Self::UpstreamMalformed { .. }
            | Self::UpstreamInterrupted { .. }
            | Self::GenerationFailed { .. } => true,
            Self::InvalidRequest { .. }
            | Self::Unauthorized { .. }
            | Self::InvalidCredential { .. }
            | Self::IdentityUnavailable { .. }
            | Self::CredentialExpired { .. }
            | Self::TooManyFailures { .. }
            | Self::Forbidden { .. }
            | Self::NotFound { .. }
            | Self::ModelNotFound { .. }
            | Self::MethodNotAllowed { .. }
            | Self::BodyTimeout { .. }
            | Self::BodyTooLarge { .. }
            | Self::BodyCompressed { .. }
            | Self::RateLimited { .. }
            | Self::LimitsUnavailable { .. }
            | Self::RouteWithoutModel { .. }
            | Self::UpstreamRejected { .. }
            | Self::AuditUnavailable
            | Self::TotalTimeout { .. }
            | Self::Internal => false,
        }
    }

    /// A word for metrics; their number is bounded.
    pub fn metric_label(&self) -> &'static str {
        match self {
            Self::InvalidRequest { .. } => "invalid_request",
            Self::UnsupportedField { .. } | Self::UnsupportedByProvider { .. } => {
                "unsupported_field"
            }
            Self::UnsupportedTask { .. } => "unsupported_task",
            Self::PromptTooLong { .. } | Self::InputTooLong { .. } => "context_length_exceeded",
            Self::Unauthorized { .. } => "invalid_api_key",
            Self::InvalidCredential { code, .. } => code,
            Self::IdentityUnavailable { .. } => "identity_unavailable",
            Self::CredentialExpired { .. } => "credential_expired",
            Self::TooManyFailures { .. } => "too_many_failures",
            Self::Forbidden { .. } => "forbidden",
            Self::NotFound { .. } => "not_found",
            Self::ModelNotFound { .. } => "model_not_found",
            Self::MethodNotAllowed { .. } => "method_not_allowed",
            Self::BodyTimeout { .. } => "body_timeout",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::BodyCompressed { .. } => "body_compressed",
            Self::RateLimited { .. } | Self::LimitReached { .. } => "rate_limit_exceeded",
            Self::LimitTooSmall { .. } => "limit_too_small",
            Self::LimitsUnavailable { .. } => "limits_unavailable",
            Self::Overloaded { .. } => "model_overloaded",
            Self::ModelNotReady { .. } => "model_not_ready",
            Self::ModelUnavailable { .. } => "model_unavailable",
            Self::RouteWithoutModel { .. } => "route_without_model",
            Self::UpstreamUnreachable { .. } => "upstream_unreachable",
            Self::UpstreamNotAllowed { .. } => "upstream_not_allowed",
            Self::UpstreamTimeout { .. } => "upstream_timeout",
            Self::ModelTimeout { .. } => "model_timeout",
            Self::TotalTimeout { .. } => "total_timeout",
            Self::UpstreamStatus { .. } => "upstream_error",
            Self::UpstreamRateLimited { .. } => "upstream_rate_limited",
            Self::UpstreamRejected { .. } => "upstream_rejected",
            Self::UpstreamMalformed { .. } => "upstream_malformed",
            Self::UpstreamInterrupted { .. } => "upstream_interrupted",
            Self::GenerationFailed { .. } => "generation_failed",
            Self::AuditUnavailable => "audit_unavailable",
            Self::Internal => "internal",
        }
    }

    /// When the caller should try again, if that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. }
            | Self::LimitReached { retry_after, .. }
            | Self::LimitsUnavailable { retry_after }
            | Self::IdentityUnavailable { retry_after, .. }
            | Self::TooManyFailures { retry_after }
            | Self::Overloaded { retry_after, .. }
            | Self::ModelNotReady { retry_after, .. } => Some(*retry_after),
            Self::UpstreamRateLimited { retry_after, .. } => *retry_after,
            // As often as the writer tries the disk, or nearly.
            Self::AuditUnavailable => Some(Duration::from_secs(1)),
            _ => None,
        }
    }
}
