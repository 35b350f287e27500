//! One request to an API, up to the status of its answer.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use claw_crds::gateway_config::RemoteModelConfig;
use claw_crds::outbound::Refusal;
use http::header::RETRY_AFTER;
use http::{HeaderMap, Response};

use super::refusal::refused;
use super::response::read_limited;
use super::{dialect, endpoint};
use crate::config::Remote;
use crate::conversion::Failure;
use crate::error::GatewayError;
use crate::outbound::{AnswerBody, Outbound, SendError, refusal_in};
use crate::telemetry::{ModelCall, caller_trace};
use crate::types::ChatRequest;

/// An error body may be this long.
const ERROR_LIMIT: usize = 64 << 10;
/// And take this long.
const ERROR_TIMEOUT: Duration = Duration::from_secs(5);

/// Ends with a successful response, whose body is still to come. Of several keys, one after the other is tried as long
/// as the API refuses or limits them.
pub(super) async fn send(
    outbound: &Outbound,
    name: &str,
    remote: &Remote,
    request: &ChatRequest,
    call: &ModelCall,
) -> Result<Response<AnswerBody>, GatewayError> {
    let body = dialect::body(name, &remote.config, request)?;
    let post = Post {
        outbound,
        name,
        call,
        config: &remote.config,
        url: endpoint::url(&remote.config, request.task, request.stream),
        body,
    };
    let keys = &remote.config.credentials;
    if keys.is_empty() {
        return post.send(None).await;
    }
    let order = remote.keys.order(keys.len(), Instant::now());
    let mut failure = None;
    for index in order.map_err(|left| limited(name, left))? {
        let key = &keys[index];
        match post.send(Some(key.value.expose())).await {
            Ok(response) => {
                remote.keys.succeeded(index);
                return Ok(response);
            }
            Err(error) => {
                let now = Instant::now();
                let Some(rest) = remote.keys.failed(index, keys.len(), &error, now) else {
                    return Err(error);
                };
                tracing::warn!(
                    model.name = name,
                    key = key.name,
                    reason = rest.told(now),
                    "a key is left alone for a while"
                );
                failure = Some(error);
            }
        }
    }
    // The first key to wake up says when to come back.
    remote
        .keys
        .order(keys.len(), Instant::now())
        .map_err(|left| limited(name, left))?;
    Err(failure.unwrap_or(GatewayError::Internal))
}

fn limited(name: &str, left: Duration) -> GatewayError {
    GatewayError::UpstreamRateLimited {
        model: name.to_owned(),
        retry_after: Some(left),
    }
}

/// A request that is ready to be sent with any key.
struct Post<'a> {
    outbound: &'a Outbound,
    name: &'a str,
    call: &'a ModelCall,
    config: &'a RemoteModelConfig,
    url: String,
    body: Bytes,
}

impl Post<'_> {
    async fn send(&self, key: Option<&str>) -> Result<Response<AnswerBody>, GatewayError> {
        let mut headers = endpoint::headers(self.config.provider, key)
            .map_err(|error| unsent(self.name, SendError::Header(error)))?;
        self.call.pass_on(&mut headers);
        caller_trace::pass_on(&mut headers);
        let response = self
            .outbound
            .send(&self.url, headers, self.body.clone())
            .await
            .map_err(|source| unsent(self.name, source))?;
        self.call.status(response.status());
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(Box::pin(self.refusal(response)).await)
        }
    }

    async fn refusal(&self, response: Response<AnswerBody>) -> GatewayError {
        let status = response.status();
        let wish = retry_after(response.headers(), SystemTime::now());
        let failure = if status.is_client_error() {
            let body = read_limited(self.name, response, ERROR_LIMIT);
            let body = tokio::time::timeout(ERROR_TIMEOUT, body).await;
            let body = body.ok().and_then(Result::ok).unwrap_or_default();
            dialect::failure(self.config.provider, status, &body)
        } else {
            Failure::bare(status)
        };
        refused(self.name, failure, wish)
    }
}

fn unsent(name: &str, source: SendError) -> GatewayError {
    if let Some(refusal) = refusal_in(&source) {
        return not_allowed(name, refusal.clone());
    }
    GatewayError::UpstreamUnreachable {
        model: name.to_owned(),
        source,
    }
}

fn not_allowed(name: &str, source: Refusal) -> GatewayError {
    GatewayError::UpstreamNotAllowed {
        model: name.to_owned(),
        source,
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
