//! One request to an API, up to the status of its answer.

use std::time::{Duration, SystemTime};

use claw_crds::gateway_config::RemoteModelConfig;
use claw_crds::outbound::Refusal;
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use tracing::{Instrument as _, Span};

use super::response::read_limited;
use crate::conversion::upstream_body;
use crate::error::{ErrorBody, ErrorDetail, GatewayError};
use crate::outbound::{Outbound, refusal_in};
use crate::types::ChatRequest;

/// An error body may be this long.
const ERROR_LIMIT: usize = 64 << 10;
/// And take this long.
const ERROR_TIMEOUT: Duration = Duration::from_secs(5);

/// Ends with a successful response, whose body is still to come.
pub(super) async fn send(
    outbound: &Outbound,
    name: &str,
    remote: &RemoteModelConfig,
    request: &ChatRequest,
) -> Result<reqwest::Response, GatewayError> {
    let span = tracing::info_span!(
        "upstream",
        otel.kind = "client",
        model = name,
        http.response.status_code = tracing::field::Empty,
    );
    send_traced(outbound, name, remote, request)
        .instrument(span)
        .await
}

async fn send_traced(
    outbound: &Outbound,
    name: &str,
    remote: &RemoteModelConfig,
    request: &ChatRequest,
) -> Result<reqwest::Response, GatewayError> {
    let url = format!("{}/chat/completions", remote.base_url.trim_end_matches('/'));
    let mut upstream = outbound
        .post(&url)
        .map_err(|refusal| refused(name, refusal))?
        .json(&upstream_body(request, &remote.model));
    if let Some(key) = &remote.api_key {
        upstream = upstream.bearer_auth(key.expose());
    }
    let mut trace = HeaderMap::new();
    claw_telemetry::pass_on(&mut trace);
    let response = upstream
        .headers(trace)
        .send()
        .await
        .map_err(|source| unsent(name, source))?;
    Span::current().record("http.response.status_code", response.status().as_u16());
    if response.status().is_success() {
        Ok(response)
    } else {
        Err(refusal(name, response).await)
    }
}

fn unsent(name: &str, source: reqwest::Error) -> GatewayError {
    if let Some(refusal) = refusal_in(&source) {
        return refused(name, refusal.clone());
    }
    GatewayError::UpstreamUnreachable {
        model: name.to_owned(),
        // The URL may hold a password.
        source: source.without_url(),
    }
}

fn refused(name: &str, source: Refusal) -> GatewayError {
    GatewayError::UpstreamNotAllowed {
        model: name.to_owned(),
        source,
    }
}

async fn refusal(name: &str, response: reqwest::Response) -> GatewayError {
    let status = response.status();
    let model = name.to_owned();
    match status {
        StatusCode::TOO_MANY_REQUESTS => GatewayError::UpstreamRateLimited {
            model,
            retry_after: retry_after(response.headers(), SystemTime::now()),
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
            detail: detail(name, response).await,
        },
        status => GatewayError::UpstreamStatus { model, status },
    }
}

/// Seconds, or a date (<https://www.rfc-editor.org/rfc/rfc9110#field.retry-after>).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    // One that has passed allows to come back at once.
    Some(date.duration_since(now).unwrap_or_default())
}

async fn detail(name: &str, response: reqwest::Response) -> ErrorDetail {
    let status = response.status();
    let body = tokio::time::timeout(ERROR_TIMEOUT, read_limited(name, response, ERROR_LIMIT)).await;
    let parsed = body
        .ok()
        .and_then(Result::ok)
        .and_then(|body| serde_json::from_slice::<ErrorBody>(&body).ok());
    parsed.map_or_else(
        || ErrorDetail {
            message: format!("the API of model `{name}` refused the request with status {status}"),
            kind: "invalid_request_error".to_owned(),
            param: None,
            code: None,
        },
        |body| body.error,
    )
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::seconds("7", Some(7))]
    #[case::date("Sun, 06 Nov 1994 08:49:47 GMT", Some(10))]
    #[case::past("Sun, 06 Nov 1994 08:00:00 GMT", Some(0))]
    #[case::words("soon", None)]
    #[case::negative("-1", None)]
    fn a_time_to_come_back_is_seconds_or_a_date(
        #[case] value: &'static str,
        #[case] expected: Option<u64>,
    ) {
        // Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]);
        let told = retry_after(&headers, now);
        assert_eq!(told, expected.map(Duration::from_secs));
    }
}
