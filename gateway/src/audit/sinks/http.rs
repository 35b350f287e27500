//! Batches by POST.

use std::time::Duration;

use bytes::Bytes;
use claw_crds::gateway_config::AuditHttpConfig;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Method};

use super::target::{SendError, TargetError};
use crate::config::chain;
use crate::outbound::{Outbound, OwnClient};

/// From the first byte of a request to the last of its answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Answers are a few bytes; more is not read.
const ANSWER_BYTES: usize = 64 << 10;

/// A receiver over HTTP.
pub(super) struct HttpTarget {
    url: String,
    headers: HeaderMap,
    client: OwnClient,
}

impl HttpTarget {
    pub(super) fn new(config: &AuditHttpConfig, outbound: &Outbound) -> Result<Self, TargetError> {
        let AuditHttpConfig { url, headers, tls } = config;
        let mut sent = HeaderMap::new();
        for (name, value) in headers {
            let invalid = || TargetError::Header(name.clone());
            let mut value = HeaderValue::try_from(value.expose()).map_err(|_| invalid())?;
            let name = HeaderName::try_from(name.as_str()).map_err(|_| invalid())?;
            value.set_sensitive(true);
            sent.insert(name, value);
        }
        Ok(Self {
            url: url.clone(),
            headers: sent,
            client: OwnClient::new(outbound, tls)?,
        })
    }

    /// Post, and give the beginning of the answer.
    pub(super) async fn post(
        &mut self,
        content_type: &'static str,
        body: Vec<u8>,
    ) -> Result<Bytes, SendError> {
        let unreachable = |error: reqwest::Error| {
            // A URL may hold a key.
            SendError::Unreachable(chain(&error.without_url()))
        };
        let request = self
            .client
            .request(Method::POST, &self.url)
            .map_err(|error| SendError::Unreachable(chain(&error)))?;
        let response = request
            .timeout(TIMEOUT)
            .headers(self.headers.clone())
            .header(CONTENT_TYPE, content_type)
            .body(body)
            .send()
            .await
            .map_err(unreachable)?;
        let status = response.status();
        if status.as_u16() == 413 {
            return Err(SendError::TooLarge);
        }
        if !status.is_success() {
            return Err(SendError::Refused {
                status: status.as_u16(),
                after: retry_after(response.headers()),
            });
        }
        // To its end, so that the connection can be used again.
        let mut answer = Vec::new();
        let mut response = response;
        while let Some(part) = response.chunk().await.map_err(unreachable)? {
            if answer.len() + part.len() > ANSWER_BYTES {
                break;
            }
            answer.extend(part);
        }
        Ok(answer.into())
    }
}

/// In seconds; as a date it is rare, and our own pace does as well.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse();
    Some(Duration::from_secs(seconds.ok()?))
}
