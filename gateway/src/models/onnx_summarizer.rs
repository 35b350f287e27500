//! The sequence-to-sequence models of `claw-inference` behind our trait. Translations only.

use claw_inference::{Seq2SeqModel, Seq2SeqRequest};

use super::onnx::translate;
use super::onnx_encoders::refusal;
use super::{Engine, EngineInfo, EngineRequest, ModelStats, Sink, SubmitError};

pub(super) struct OnnxSummarizer(pub(super) Seq2SeqModel);

impl Engine for OnnxSummarizer {
    fn info(&self) -> EngineInfo {
        let info = self.0.info();
        EngineInfo {
            device: info.device.clone(),
            reason: info.device_reason.clone(),
            context_length: info.max_tokens as u64,
        }
    }

    fn stats(&self) -> ModelStats {
        // It answers one request at a time, and has none of what else there is to tell.
        ModelStats::default()
    }

    fn reads_documents(&self) -> bool {
        true
    }

    fn count_tokens(&self, _request: &EngineRequest) -> Result<u64, SubmitError> {
        Err(no_chats())
    }

    fn submit(&self, request: EngineRequest, mut sink: Sink) -> Result<(), SubmitError> {
        let EngineRequest {
            prompt: Some(text),
            max_tokens,
            cancellation,
            ..
        } = request
        else {
            return Err(no_chats());
        };
        let request = Seq2SeqRequest {
            text,
            max_tokens,
            cancellation,
        };
        self.0
            .submit(request, Box::new(move |event| sink(translate(event))))
            .map_err(refusal)
    }
}

fn no_chats() -> SubmitError {
    SubmitError::InvalidRequest {
        field: Some("model".to_owned()),
        message: "the model summarizes texts, and takes no conversations".to_owned(),
    }
}
