//! Whole answers.

use claw_crds::gateway_config::ProviderConfig;

use super::dialect;
use super::refusal::faulty;
use crate::conversion::Fault;
use crate::error::GatewayError;
use crate::types::{ChatCompletion, Task};

/// No answer is longer.
const ANSWER_LIMIT: usize = 32 << 20;

pub(super) async fn completion(
    name: &str,
    provider: ProviderConfig,
    task: Task,
    response: reqwest::Response,
) -> Result<ChatCompletion, GatewayError> {
    let body = read_limited(name, response, ANSWER_LIMIT).await?;
    let completion =
        dialect::completion(provider, task, &body).map_err(|fault| faulty(name, fault))?;
    if matches!(task, Task::Chat | Task::Complete) && completion.choices.is_empty() {
        return Err(faulty(name, Fault::Malformed("no choices")));
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
