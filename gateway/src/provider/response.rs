//! Whole answers.

use bytes::Bytes;
use claw_crds::gateway_config::ProviderConfig;
use http::Response;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::dialect;
use super::refusal::faulty;
use crate::conversion::Fault;
use crate::error::GatewayError;
use crate::outbound::AnswerBody;
use crate::types::{Task, WholeAnswer};

/// No answer is longer.
const ANSWER_LIMIT: usize = 32 << 20;

pub(super) async fn whole(
    name: &str,
    provider: ProviderConfig,
    task: Task,
    response: Response<AnswerBody>,
) -> Result<WholeAnswer, GatewayError> {
    let body = read_limited(name, response, ANSWER_LIMIT).await?;
    let answer = dialect::answer(provider, task, &body).map_err(|fault| faulty(name, fault))?;
    if let WholeAnswer::Read(completion) = &answer
        && matches!(task, Task::Chat | Task::Summarize | Task::Complete)
        && completion.choices.is_empty()
    {
        return Err(faulty(name, Fault::Malformed("no choices")));
    }
    Ok(answer)
}

/// A body up to `limit` bytes; a longer one is malformed.
pub(super) async fn read_limited(
    name: &str,
    response: Response<AnswerBody>,
    limit: usize,
) -> Result<Bytes, GatewayError> {
    let body = Limited::new(response.into_body(), limit);
    match body.collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(GatewayError::UpstreamMalformed {
            model: name.to_owned(),
            what: "too long",
        }),
        Err(_) => Err(GatewayError::UpstreamInterrupted {
            model: name.to_owned(),
        }),
    }
}
