//! How tokens are chosen.

use serde_json::{Map, Value};

use super::single;
use crate::error::GatewayError;
use crate::models::EngineRequest;
use crate::types::{ChatRequest, Task, fields};

/// What OpenAI's API allows.
const PENALTY: (f64, f64) = (-2.0, 2.0);
const BIAS: (f64, f64) = (-100.0, 100.0);
/// The most of the likeliest tokens that are told.
const MOST_TOLD: u64 = 20;

/// A request with nothing but how tokens are chosen.
pub(super) fn sampling(request: &ChatRequest) -> Result<EngineRequest, GatewayError> {
    let body = request.body.fields();
    let number =
        |field, bounds| fields::number(body, field, bounds).map(|number| number.map(single));
    Ok(EngineRequest {
        temperature: request.temperature.map(single),
        top_p: request.top_p.map(single),
        top_k: request.top_k,
        min_p: number("min_p", (0.0, 1.0))?,
        presence_penalty: number("presence_penalty", PENALTY)?,
        frequency_penalty: number("frequency_penalty", PENALTY)?,
        repetition_penalty: number("repetition_penalty", (0.0, 2.0))?,
        logit_bias: biases(body)?,
        log_probabilities: match request.task {
            Task::Complete => of_text(body)?,
            Task::Chat | Task::Summarize | Task::Embed | Task::Rerank => of_chat(body)?,
        },
        seed: request.seed,
        ..EngineRequest::default()
    })
}

fn biases(body: &Map<String, Value>) -> Result<Vec<(u32, f32)>, GatewayError> {
    let biases = match fields::present(body, "logit_bias") {
        None => return Ok(Vec::new()),
        Some(Value::Object(biases)) => biases,
        Some(other) => {
            let found = fields::quoted(other);
            return Err(GatewayError::invalid(
                "logit_bias",
                format!("`logit_bias` is {found}, but must be an object of tokens and numbers"),
            ));
        }
    };
    let translate = |(token, bias): (&String, &Value)| {
        let number = bias
            .as_f64()
            .filter(|bias| (BIAS.0..=BIAS.1).contains(bias));
        let known = token.parse().ok().zip(number.map(single));
        known.ok_or_else(|| {
            let found = fields::quoted(&Value::from(format!("{token}: {bias}")));
            let message = format!(
                "`logit_bias` has {found}, but must have numbers of tokens, and numbers from -100 to 100"
            );
            GatewayError::invalid("logit_bias", message)
        })
    };
    biases.iter().map(translate).collect()
}

fn of_chat(body: &Map<String, Value>) -> Result<Option<u32>, GatewayError> {
    let is_wanted = fields::boolean(body, "logprobs")?.unwrap_or(false);
    match (is_wanted, told(body, "top_logprobs")?) {
        (true, most) => Ok(Some(most.unwrap_or(0))),
        (false, None | Some(0)) => Ok(None),
        (false, Some(_)) => Err(GatewayError::invalid(
            "top_logprobs",
            "`top_logprobs` is only allowed with `logprobs`: true",
        )),
    }
}

fn of_text(body: &Map<String, Value>) -> Result<Option<u32>, GatewayError> {
    // Not asked for by `false` either, which belongs to chats.
    if body.get("logprobs") == Some(&Value::Bool(false)) {
        return Ok(None);
    }
    told(body, "logprobs")
}

fn told(body: &Map<String, Value>, field: &str) -> Result<Option<u32>, GatewayError> {
    let Some(value) = fields::present(body, field) else {
        return Ok(None);
    };
    let most = value.as_u64().filter(|most| *most <= MOST_TOLD);
    let most = most.and_then(|most| u32::try_from(most).ok());
    most.map(Some).ok_or_else(|| {
        let found = fields::quoted(value);
        let message =
            format!("`{field}` is {found}, but must be a whole number from 0 to {MOST_TOLD}");
        GatewayError::invalid(field, message)
    })
}
