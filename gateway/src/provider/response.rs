//! Whole answers.

use crate::error::GatewayError;
use crate::types::ChatCompletion;

/// No chat answer is longer.
const ANSWER_LIMIT: usize = 32 << 20;

pub(super) async fn completion(
    name: &str,
    response: reqwest::Response,
) -> Result<ChatCompletion, GatewayError> {
    let body = read_limited(name, response, ANSWER_LIMIT).await?;
    let malformed = |what| GatewayError::UpstreamMalformed {
        model: name.to_owned(),
        what,
    };
    let completion: ChatCompletion =
        serde_json::from_slice(&body).map_err(|_| malformed("no chat completion"))?;
    if completion.choices.is_empty() {
        return Err(malformed("no choices"));
    }
    Ok(completion)
}

/// A body up to `limit` bytes; a longer one is malformed.
pub(super) async fn read_limited(
    name: &str,
    mut response: reqwest::Response,
    limit: usize,
) -> Result<Vec<u8>, GatewayError> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(None) => return Ok(body),
            Ok(Some(chunk)) if body.len() + chunk.len() > limit => {
                return Err(GatewayError::UpstreamMalformed {
                    model: name.to_owned(),
                    what: "too long",
                });
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Err(_) => {
                return Err(GatewayError::UpstreamInterrupted {
                    model: name.to_owned(),
                });
            }
        }
    }
}
