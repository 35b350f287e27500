//! What Gemini says when it refuses (<https://ai.google.dev/gemini-api/docs/troubleshooting>).

use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use crate::conversion::{Failure, Fault};
use crate::error::ErrorDetail;

#[derive(Deserialize)]
struct Body {
    error: Said,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Said {
    code: u16,
    message: String,
    status: String,
    details: Vec<Value>,
}

/// Read the body of a refusal that came with this status.
pub fn failure(status: StatusCode, body: &[u8]) -> Failure {
    let Ok(Body { error }) = serde_json::from_slice(body) else {
        return Failure::bare(status);
    };
    said(status, error)
}

/// An error within a stream.
pub(super) fn reported(event: &Value) -> Option<Fault> {
    let error: Said = serde_json::from_value(event.get("error")?.clone()).ok()?;
    let status = StatusCode::from_u16(error.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let failure = said(status, error);
    Some(Fault::Reported {
        status: failure.status,
        detail: failure.detail?,
    })
}

fn said(status: StatusCode, error: Said) -> Failure {
    let says = |reason: &str| {
        let mut reasons = error.details.iter().filter_map(|detail| {
            let reason = detail.get("reason")?;
            reason.as_str()
        });
        reasons.any(|found| found == reason)
    };
    // A wrong key is answered as if it were the request's fault.
    let status = if says("API_KEY_INVALID") {
        StatusCode::UNAUTHORIZED
    } else {
        status
    };
    let retry_after = error.details.iter().find_map(|detail| {
        let delay = detail.get("retryDelay")?.as_str()?;
        let seconds: f64 = delay.strip_suffix('s')?.parse().ok()?;
        Duration::try_from_secs_f64(seconds).ok()
    });
    Failure {
        status,
        retry_after,
        detail: Some(ErrorDetail {
            message: error.message,
            kind: "invalid_request_error".to_owned(),
            param: None,
            code: Some(error.status.to_ascii_lowercase()),
        }),
    }
}
