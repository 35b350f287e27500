//! One question about one token.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claw_crds::gateway_config::IntrospectionConfig;
use claw_crds::outbound::Refusal;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use url::form_urlencoded;

use crate::auth::claims::Claims;
use crate::auth::fetch::{FetchError, read};
use crate::outbound::Outbound;

/// An answer is short.
const MOST_BYTES: usize = 64 << 10;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("it may not be called")]
    NotAllowed(#[source] Refusal),
    #[error("the client's name and secret cannot be sent")]
    Credentials,
    #[error("it did not answer")]
    Fetch(#[source] FetchError),
    #[error("it does not accept the gateway's own client: look at clientID and clientSecret")]
    Refused,
    #[error("it answered with status {0}")]
    Status(StatusCode),
    #[error("its answer is not a JSON object")]
    Invalid,
    #[error("it did not answer in time")]
    Timeout,
}

/// What the server says of a token.
pub(super) async fn ask(
    config: &IntrospectionConfig,
    token: &str,
    outbound: &Outbound,
) -> Result<Claims, AskError> {
    let body = form_urlencoded::Serializer::new(String::new())
        .append_pair("token", token)
        .append_pair("token_type_hint", "access_token")
        .finish();
    let request = outbound.post(&config.url).map_err(AskError::NotAllowed)?;
    let response = request
        .header(AUTHORIZATION, client(config)?)
        .header(ACCEPT, "application/json")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(body)
        .send()
        .await
        .map_err(|error| AskError::Fetch(error.into()))?;
    match response.status() {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(AskError::Refused),
        status => return Err(AskError::Status(status)),
    }
    let body = read(response, MOST_BYTES).await.map_err(AskError::Fetch)?;
    serde_json::from_slice(&body).map_err(|_| AskError::Invalid)
}

/// As RFC 6749 has it (2.3.1): both parts are encoded before they are put together.
fn client(config: &IntrospectionConfig) -> Result<HeaderValue, AskError> {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!(
        "{}:{}",
        encoded(&config.client_id),
        encoded(config.client_secret.expose())
    );
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)))
        .map_err(|_| AskError::Credentials)?;
    value.set_sensitive(true);
    Ok(value)
}
