//! The embedders and rerankers of `claw-inference` behind our traits. Translations only.

use std::time::Duration;

use claw_inference::{
    EmbedRequest, EmbeddingModel, Embeddings, RerankModel, RerankRequest, Scores,
    encoder::{EncoderInfo, InputError},
};

use super::loaded::{Done, Embedder, Reranker};
use super::{EngineInfo, SubmitError};
use crate::config::chain;

/// A full queue has moved on after about this long: a batch takes less.
const QUEUE_PAUSE: Duration = Duration::from_secs(1);

pub(super) struct OnnxEmbedder(pub(super) EmbeddingModel);

impl Embedder for OnnxEmbedder {
    fn info(&self) -> EngineInfo {
        info(self.0.info())
    }

    fn submit(&self, request: EmbedRequest, done: Done<Embeddings>) -> Result<(), SubmitError> {
        let done =
            Box::new(move |outcome: Result<_, _>| done(outcome.map_err(|error| chain(&error))));
        self.0.submit(request, done).map_err(refusal)
    }
}

pub(super) struct OnnxReranker(pub(super) RerankModel);

impl Reranker for OnnxReranker {
    fn info(&self) -> EngineInfo {
        info(self.0.info())
    }

    fn submit(&self, request: RerankRequest, done: Done<Scores>) -> Result<(), SubmitError> {
        let done =
            Box::new(move |outcome: Result<_, _>| done(outcome.map_err(|error| chain(&error))));
        self.0.submit(request, done).map_err(refusal)
    }
}

fn info(info: &EncoderInfo) -> EngineInfo {
    EngineInfo {
        device: info.device.clone(),
        reason: info.device_reason.clone(),
        context_length: info.max_tokens as u64,
    }
}

pub(super) fn refusal(error: InputError) -> SubmitError {
    match error {
        InputError::QueueFull { .. } => SubmitError::QueueFull {
            retry_after: QUEUE_PAUSE,
        },
        InputError::TooLong {
            field,
            tokens,
            limit,
        } => SubmitError::InputTooLong {
            field,
            tokens: tokens as u64,
            limit: limit as u64,
        },
        InputError::Invalid { field, problem } => SubmitError::InvalidRequest {
            message: format!("`{field}` {problem}"),
            field: Some(field),
        },
        error @ InputError::Encode(_) => SubmitError::InvalidRequest {
            field: None,
            message: chain(&error),
        },
        InputError::Closed => SubmitError::Closed,
    }
}
