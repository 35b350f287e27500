//! How a WebSocket client shows its API key: in the `Authorization` header, or, from a browser, which cannot set
//! headers, in the list of subprotocols. Never in the URL, which ends up in logs. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderValue};

use crate::error::GatewayError;

/// The subprotocol of this channel; the only one that is ever selected.
pub(super) const SUBPROTOCOL: &str = "clawdbot.v1";
const BEARER_PREFIX: &str = "bearer.";

/// The credentials of an upgrade request, in the form in which the API takes them.
///
/// A subprotocol with a key counts only where there is no `Authorization` header, and only once.
pub(super) fn credentials(headers: &HeaderMap) -> Result<HeaderMap, GatewayError> {
    let mut credentials = HeaderMap::new();
    if let Some(value) = headers.get(AUTHORIZATION) {
        credentials.insert(AUTHORIZATION, value.clone());
        return Ok(credentials);
    }
    let mut keys = offered(headers).filter_map(|protocol| protocol.strip_prefix(BEARER_PREFIX));
    if let Some(key) = keys.next() {
        let value = decode(key).filter(|_| keys.next().is_none());
        credentials.insert(AUTHORIZATION, value.ok_or(MALFORMED)?);
    }
    Ok(credentials)
}

/// Whether the client knows the subprotocol by name.
pub(super) fn offers_subprotocol(headers: &HeaderMap) -> bool {
    offered(headers).any(|protocol| protocol == SUBPROTOCOL)
}

const MALFORMED: GatewayError = GatewayError::Unauthorized {
    message: "the subprotocol `bearer.…` must appear once, followed by the API key in base64url",
};

fn offered(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lists = headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).map(str::trim)
}

fn decode(key: &str) -> Option<HeaderValue> {
    // `=` is not allowed in a subprotocol, but some clients send it nevertheless.
    let bytes = URL_SAFE_NO_PAD
        .decode(key)
        .or_else(|_| URL_SAFE.decode(key))
        .ok()?;
    let mut value = HeaderValue::from_bytes(&[b"Bearer ", bytes.as_slice()].concat()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn headers(authorization: Option<&'static str>, protocols: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, HeaderValue::from_static(value));
        }
        for list in protocols {
            headers.append(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(list));
        }
        headers
    }

    #[rstest]
    #[case::none(None, &[], None)]
    #[case::header(Some("Bearer s3cret"), &[], Some("Bearer s3cret"))]
    #[case::subprotocol(None, &["clawdbot.v1, bearer.czNjcmV0"], Some("Bearer s3cret"))]
    #[case::two_headers(None, &["clawdbot.v1", "bearer.czNjcmV0"], Some("Bearer s3cret"))]
    #[case::padded(None, &["bearer.czNjcmV0MQ=="], Some("Bearer s3cret1"))]
    #[case::the_header_wins(Some("Bearer a"), &["bearer.czNjcmV0"], Some("Bearer a"))]
    #[case::other_subprotocols(None, &["clawdbot.v1, graphql-ws"], None)]
    fn keys_are_found(
        #[case] authorization: Option<&'static str>,
        #[case] protocols: &[&'static str],
        #[case] expected: Option<&str>,
    ) {
        let credentials = credentials(&headers(authorization, protocols)).expect("well formed");
        assert_eq!(
            credentials
                .get(AUTHORIZATION)
                .map(|value| value.to_str().expect("ascii")),
            expected
        );
    }

    #[rstest]
    #[case::not_base64("bearer.%%%")]
    #[case::control_characters("bearer.AAEC")]
    #[case::two_keys("bearer.czNjcmV0, bearer.czNjcmV0")]
    fn malformed_keys_are_refused_without_repeating_them(#[case] protocols: &'static str) {
        let error = credentials(&headers(None, &[protocols])).expect_err("refused");
        assert_eq!(error.status(), 401);
        assert!(!error.to_string().contains("czNj"));
    }

    #[test]
    fn only_the_exact_subprotocol_counts() {
        assert!(offers_subprotocol(&headers(None, &["x, clawdbot.v1"])));
        assert!(!offers_subprotocol(&headers(
            None,
            &["clawdbot.v10, bearer.YQ"]
        )));
    }
}
