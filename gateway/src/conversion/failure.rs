//! Why an API refused a request.

use std::time::Duration;

use http::StatusCode;

use crate::error::{ErrorBody, ErrorDetail};

/// What a refusal says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure it is, whatever status the API chose for it.
    pub status: StatusCode,
    /// In words.
    pub detail: Option<ErrorDetail>,
    /// When to come back, as far as the body tells.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// Nothing but a status.
    pub fn bare(status: StatusCode) -> Self {
        Self {
            status,
            detail: None,
            retry_after: None,
        }
    }

    /// Read a body of OpenAI's form; Anthropic's is one with more around it.
    pub fn read(status: StatusCode, body: &[u8]) -> Self {
        let body = serde_json::from_slice::<ErrorBody>(body).ok();
        Self {
            detail: body.map(|body| body.error),
            ..Self::bare(status)
        }
    }
}
