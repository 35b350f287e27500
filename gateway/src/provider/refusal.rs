//! From what an API says to what its caller is told.

use std::time::Duration;

use http::StatusCode;

use crate::conversion::{Failure, Fault};
use crate::error::{ErrorDetail, GatewayError};

/// An answer with a status that tells of a failure.
pub(super) fn refused(name: &str, failure: Failure, retry_after: Option<Duration>) -> GatewayError {
    let model = name.to_owned();
    let status = failure.status;
    match status {
        StatusCode::TOO_MANY_REQUESTS => GatewayError::UpstreamRateLimited {
            model,
            retry_after: retry_after.or(failure.retry_after),
        },
        // The gateway's credential, address or model name is wrong, not the caller's request.
        StatusCode::UNAUTHORIZED
        | StatusCode::PAYMENT_REQUIRED
        | StatusCode::FORBIDDEN
        | StatusCode::NOT_FOUND
        | StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::REQUEST_TIMEOUT => GatewayError::UpstreamStatus { model, status },
        status if status.is_client_error() => GatewayError::UpstreamRejected {
            status,
            detail: failure.detail.unwrap_or_else(|| silent(name, status)),
        },
        status => GatewayError::UpstreamStatus { model, status },
    }
}

/// An answer that cannot be read, or that breaks off with an error.
pub(super) fn faulty(name: &str, fault: Fault) -> GatewayError {
    match fault {
        Fault::Malformed(what) => GatewayError::UpstreamMalformed {
            model: name.to_owned(),
            what,
        },
        Fault::Reported { status, detail } => {
            let failure = Failure {
                detail: Some(detail),
                ..Failure::bare(status)
            };
            refused(name, failure, None)
        }
    }
}

/// What is told for an API that says nothing, or nothing that may be told.
pub(super) fn silent(name: &str, status: StatusCode) -> ErrorDetail {
    ErrorDetail {
        message: format!("the API of model `{name}` refused the request with status {status}"),
        kind: "invalid_request_error".to_owned(),
        param: None,
        code: None,
    }
}
