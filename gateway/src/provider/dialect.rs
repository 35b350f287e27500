//! Which conversion a provider's words need.

use bytes::Bytes;
use claw_crds::gateway_config::{ProviderConfig, RemoteModelConfig};
use http::StatusCode;
use serde::Serialize;

use crate::conversion::{
    Failure, Fault, Piece, Target, anthropic, gemini, openai_answer, upstream_body,
};
use crate::error::GatewayError;
use crate::types::{ChatRequest, Task, WholeAnswer};

/// The body of a request to the model called `name`.
pub(super) fn body(
    name: &str,
    remote: &RemoteModelConfig,
    request: &ChatRequest,
) -> Result<Bytes, GatewayError> {
    let target = |provider| Target {
        name,
        model: &remote.model,
        provider,
    };
    let speaks_openai = matches!(
        remote.provider,
        ProviderConfig::OpenAI | ProviderConfig::AzureOpenAI
    );
    if !matches!(request.task, Task::Chat | Task::Summarize) && !speaks_openai {
        return Err(GatewayError::UnsupportedTask {
            model: name.to_owned(),
            path: request.task.path(),
        });
    }
    match remote.provider {
        ProviderConfig::OpenAI | ProviderConfig::AzureOpenAI => {
            Ok(upstream_body(request, &remote.model))
        }
        ProviderConfig::Anthropic => {
            anthropic::request(request, &target("Anthropic")).map(|body| json(&body))
        }
        ProviderConfig::Gemini => {
            gemini::request(request, &target("Gemini")).map(|body| json(&body))
        }
    }
}

fn json(body: &impl Serialize) -> Bytes {
    let bytes = serde_json::to_vec(body);
    bytes.expect("objects of JSON can be written").into()
}

/// A whole answer.
pub(super) fn answer(
    provider: ProviderConfig,
    task: Task,
    body: &Bytes,
) -> Result<WholeAnswer, Fault> {
    let completion = match provider {
        ProviderConfig::OpenAI | ProviderConfig::AzureOpenAI => {
            return openai_answer::whole(task, body);
        }
        ProviderConfig::Anthropic => anthropic::completion(body),
        ProviderConfig::Gemini => gemini::completion(body),
    };
    completion.map(WholeAnswer::from)
}

/// A refusal.
pub(super) fn failure(provider: ProviderConfig, status: StatusCode, body: &[u8]) -> Failure {
    match provider {
        ProviderConfig::OpenAI | ProviderConfig::AzureOpenAI | ProviderConfig::Anthropic => {
            Failure::read(status, body)
        }
        ProviderConfig::Gemini => gemini::failure(status, body),
    }
}

/// Reads the events of one streamed answer.
pub(super) enum EventReader {
    OpenAI,
    Anthropic(anthropic::Events),
    Gemini(gemini::Events),
}

impl EventReader {
    pub(super) fn new(provider: ProviderConfig) -> Self {
        match provider {
            ProviderConfig::OpenAI | ProviderConfig::AzureOpenAI => Self::OpenAI,
            ProviderConfig::Anthropic => Self::Anthropic(anthropic::Events::default()),
            ProviderConfig::Gemini => Self::Gemini(gemini::Events::default()),
        }
    }

    /// Whether the same event always means the same, whatever came before.
    pub(super) fn is_stateless(&self) -> bool {
        matches!(self, Self::OpenAI)
    }

    pub(super) fn take(&mut self, event: &[u8]) -> Result<Piece, Fault> {
        match self {
            Self::OpenAI => openai_answer::event(event),
            Self::Anthropic(events) => events.take(event),
            Self::Gemini(events) => events.take(event),
        }
    }
}
