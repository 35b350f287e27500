//! Every way a request can fail, and what its caller is told.
//!
//! One enum, one exhaustive mapping to a status, one OpenAI-shaped body. What is shown is safe to show: addresses
//! and causes of upstream failures stay in the log.

mod anthropic;
mod body;
mod classification;

use std::borrow::Cow;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use claw_crds::outbound::Refusal;
use http::StatusCode;

use crate::audit::notes;

pub use anthropic::{AnthropicErrorBody, AnthropicErrorDetail};
pub use body::{ErrorBody, ErrorDetail};

use crate::limits::RateHeaders;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// The body or a field of it makes no sense.
    #[error("{message}")]
    InvalidRequest {
        /// What is wrong with which value, and what would be right.
        message: String,
        /// The field.
        param: Option<String>,
    },
    /// The request asks for something that this model cannot do; another model may.
    #[error(
        "`{field}` is not supported by model `{model}`, which runs in the gateway: leave it out, or use a remote model"
    )]
    UnsupportedField {
        /// The model.
        model: String,
        /// The field.
        field: String,
    },
    /// The request asks for something that the model's provider cannot do; another model may.
    #[error("`{field}` is not supported by model `{model}`, which {provider} runs: {remedy}")]
    UnsupportedByProvider {
        /// The model.
        model: String,
        /// Whose API it is behind.
        provider: &'static str,
        /// The field.
        field: String,
        /// What the caller can do.
        remedy: String,
    },
    /// The request asks a model for what it was not made for.
    #[error("model `{model}` was not made for {path}, and cannot serve it: ask one that was")]
    UnsupportedTask {
        /// The model.
        model: String,
        /// The path of the API that would be needed.
        path: &'static str,
    },
    /// The conversation does not fit the model's context.
    #[error(
        "the messages are {tokens} tokens long, but model `{model}` takes at most {limit} with the answer: shorten \
         them"
    )]
    PromptTooLong {
        /// The model.
        model: String,
        /// Length of the prompt.
        tokens: u64,
        /// The model's context length.
        limit: u64,
    },
    /// One of several inputs is longer than the model takes.
    #[error(
        "`{field}` is {tokens} tokens long, but model `{model}` takes at most {limit}: shorten it"
    )]
    InputTooLong {
        /// The model.
        model: String,
        /// The input.
        field: String,
        /// Its length.
        tokens: u64,
        /// The longest one.
        limit: u64,
    },
    /// No valid credential.
    #[error("{message}")]
    Unauthorized {
        /// What is missing or wrong, without the credential.
        message: &'static str,
    },
    /// A credential that is not valid.
    #[error("{message}")]
    InvalidCredential {
        /// Which kind it is.
        code: &'static str,
        /// What is wrong, without the credential.
        message: Cow<'static, str>,
    },
    /// Nobody knows whether a token is valid.
    #[error("{message}: retry after {} seconds", whole_seconds(*retry_after))]
    IdentityUnavailable {
        /// What is missing.
        message: &'static str,
        /// When to try again.
        retry_after: Duration,
    },
    /// A credential that was valid.
    #[error("the credential expired at {at}: ask for a new one")]
    CredentialExpired {
        /// Since then.
        at: jiff::Timestamp,
    },
    /// Too many wrong credentials from one address.
    #[error(
        "too many wrong credentials came from your address: retry after {} seconds",
        whole_seconds(*retry_after)
    )]
    TooManyFailures {
        /// When the next one is looked at.
        retry_after: Duration,
    },
    /// A valid credential, but not for this.
    #[error("{message}")]
    Forbidden {
        /// What is not allowed.
        message: String,
    },
    /// Nothing is served at this path.
    #[error("{message}")]
    NotFound {
        /// What is served instead.
        message: String,
    },
    /// No model of that name.
    #[error("the model `{model}` does not exist: known models are {known}")]
    ModelNotFound {
        /// The name asked for.
        model: String,
        /// The names there are, in back-quotes.
        known: String,
    },
    /// The path exists, but not with this method.
    #[error("{method} is not allowed on {path}: use {allow}")]
    MethodNotAllowed {
        /// The method used.
        method: http::Method,
        /// The path.
        path: String,
        /// The methods there are.
        allow: &'static str,
    },
    /// The body did not arrive in time.
    #[error("the request body did not arrive within {} seconds", limit.as_secs())]
    BodyTimeout {
        /// How long was waited.
        limit: Duration,
    },
    /// The body is larger than allowed.
    #[error(
        "the request body is larger than {limit} bytes, the limit of this gateway (limits.maxBodyBytes)"
    )]
    BodyTooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The body would have to be unpacked.
    #[error(
        "the request body has Content-Encoding {encoding:?}, but must be sent as it is: leave the header out"
    )]
    BodyCompressed {
        /// How it is packed, as sent.
        encoding: String,
    },
    /// The caller sends more requests than allowed.
    #[error(
        "rate limit of {limit} requests per second reached: retry after {} seconds",
        whole_seconds(*retry_after)
    )]
    RateLimited {
        /// The limit.
        limit: u32,
        /// When the next request is let in.
        retry_after: Duration,
    },
    /// A limit by the minute, day or month, or of answers under way, is used up.
    #[error(
        "the limit {limit} of {allowed} is reached: retry after {} seconds",
        whole_seconds(*retry_after)
    )]
    LimitReached {
        /// Which one, as in a manifest.
        limit: String,
        /// How much it allows.
        allowed: String,
        /// When to try again.
        retry_after: Duration,
        /// Whether another model might answer.
        is_of_model: bool,
        /// What is left of the limits.
        headers: Box<RateHeaders>,
    },
    /// The request may use more than a limit ever allows.
    #[error(
        "the request may use {wanted}, but the limit {limit} allows {allowed}: shorten it or lower `max_tokens`"
    )]
    LimitTooSmall {
        /// Which one, as in a manifest.
        limit: String,
        /// How much it allows.
        allowed: String,
        /// How much the request may use.
        wanted: String,
        /// Whether another model might answer.
        is_of_model: bool,
    },
    /// What was used cannot be counted, so nothing more is allowed.
    #[error(
        "the limits of this gateway cannot be counted now: retry after {} seconds",
        whole_seconds(*retry_after)
    )]
    LimitsUnavailable {
        /// When to try again.
        retry_after: Duration,
    },
    /// The model's queue is full.
    #[error("model `{model}` is overloaded: retry after {} seconds", whole_seconds(*retry_after))]
    Overloaded {
        /// The model.
        model: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// The model is on its way.
    #[error("model `{model}` is not ready yet ({state}): retry after {} seconds", whole_seconds(*retry_after))]
    ModelNotReady {
        /// The model.
        model: String,
        /// What it is doing.
        state: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// The model cannot answer until somebody repairs it.
    #[error("model `{model}` is unavailable: {reason}")]
    ModelUnavailable {
        /// The model.
        model: String,
        /// What is wrong, safe to show.
        reason: String,
    },
    /// A route without any usable model.
    #[error("the route {origin} has no usable model: see the status of its ModelRoute")]
    RouteWithoutModel {
        /// Where the route was written.
        origin: String,
    },
    /// The remote API could not be reached.
    #[error("model `{model}`: its API could not be reached")]
    UpstreamUnreachable {
        /// The model.
        model: String,
        /// The cause, for the log.
        source: crate::outbound::SendError,
    },
    /// The remote API is where this gateway may not call.
    #[error(
        "model `{model}`: its API is at an address that this gateway may not call (spec.outbound)"
    )]
    UpstreamNotAllowed {
        /// The model.
        model: String,
        /// The address, for the log.
        source: Refusal,
    },
    /// The remote API was silent for too long.
    #[error("model `{model}`: its API sent no {awaited} within {} s", limit.as_secs_f32())]
    UpstreamTimeout {
        /// The model.
        model: String,
        /// What was waited for.
        awaited: &'static str,
        /// For how long.
        limit: Duration,
    },
    /// A model in this process took longer than its route allows.
    #[error("model `{model}` gave no {awaited} within {} s", limit.as_secs_f32())]
    ModelTimeout {
        /// The model.
        model: String,
        /// What was waited for.
        awaited: &'static str,
        /// For how long.
        limit: Duration,
    },
    /// The time of the request is over, with all that was tried.
    #[error(
        "there was no whole answer within {} s, the total time limit of this request (timeouts.total of its route); \
         model `{model}` was asked last",
        limit.as_secs_f32()
    )]
    TotalTimeout {
        /// The model that was to answer when the time was over.
        model: String,
        /// The limit.
        limit: Duration,
    },
    /// The remote API answered with an error that is not the caller's fault.
    #[error("model `{model}`: its API answered with status {status}")]
    UpstreamStatus {
        /// The model.
        model: String,
        /// The upstream's status.
        status: StatusCode,
    },
    /// The remote API has enough of us.
    #[error("model `{model}`: its API limits the rate of requests")]
    UpstreamRateLimited {
        /// The model.
        model: String,
        /// What the API says about when to come back.
        retry_after: Option<Duration>,
    },
    /// The remote API refused the request itself. Its words are passed on to the caller, and not shown here: an API may
    /// repeat what it was asked, which no log is to hold.
    #[error("the API of the model refused the request with status {status}")]
    UpstreamRejected {
        /// The upstream's status, a 4xx.
        status: StatusCode,
        /// The upstream's error object.
        detail: ErrorDetail,
    },
    /// The remote API sent something that is no chat completion.
    #[error("model `{model}`: its API sent a malformed answer ({what})")]
    UpstreamMalformed {
        /// The model.
        model: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The remote API stopped in the middle of an answer.
    #[error("model `{model}`: its answer was cut off")]
    UpstreamInterrupted {
        /// The model.
        model: String,
    },
    /// The engine failed while it generated.
    #[error("model `{model}` failed to generate an answer")]
    GenerationFailed {
        /// The model.
        model: String,
        /// The engine's words, for the log.
        source: EngineFailure,
    },
    /// Nothing may happen unrecorded, and records cannot be written.
    #[error(
        "the audit log cannot be kept where it has to be, and this gateway does nothing without it: retry later"
    )]
    AuditUnavailable,
    /// A programming error; the details are in the log.
    #[error("internal error")]
    Internal,
}

/// What an engine says about its failure.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct EngineFailure(pub String);

impl GatewayError {
    /// A malformed field.
    pub fn invalid(param: &str, message: impl Into<String>) -> Self {
        Self::InvalidRequest {
            message: message.into(),
            param: Some(param.to_owned()),
        }
    }
}

impl IntoResponse for GatewayError {
    fn into_response(self) -> Response {
        notes::reason(self.metric_label());
        body::respond(&self)
    }
}

/// `Retry-After` has no fractions; rounding down would invite the caller too early.
pub fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_of_a_second_is_rounded_up() {
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::from_secs(2)), 2);
        assert_eq!(whole_seconds(Duration::from_millis(2001)), 3);
    }
}
