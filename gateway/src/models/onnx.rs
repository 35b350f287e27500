//! The engine of `claw-inference` behind our traits. Translations only.

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use claw_crds::gateway_config::{DeviceConfig, QuantizationConfig, TaskConfig};
use claw_inference::import::{IMPORTER_VERSION, ImportStep, import_encoder, import_model};
use claw_inference::{
    ChatModel, Device, EmbeddingModel, Event, LoadOptions, Quantization, RerankModel, Seq2SeqModel,
    encoder_memory_needed, is_seq2seq, seq2seq_memory_needed,
};

use super::memory::SystemMemory;
use super::onnx_encoders::{OnnxEmbedder, OnnxReranker};
use super::onnx_summarizer::OnnxSummarizer;
use super::{
    Engine, EngineError, EngineEvent, EngineInfo, EngineRequest, FinishReason, LoadProgress,
    Loaded, Loader, MemoryNeed, ModelStats, Sink, SlotKey, SubmitError,
};

/// Loads models into ONNX Runtime.
#[derive(Clone, Copy, Debug, Default)]
pub struct OnnxLoader {
    /// Threads of one computation; all of the processor's when absent.
    pub threads: Option<NonZero<usize>>,
}

impl Loader for OnnxLoader {
    fn importer_version(&self) -> String {
        IMPORTER_VERSION.to_string()
    }

    fn import(
        &self,
        source: &Path,
        target: &Path,
        task: TaskConfig,
        quantization: QuantizationConfig,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<(), EngineError> {
        let mut report = |at: claw_inference::import::ImportProgress| {
            let step = match at.step {
                ImportStep::Hashing => "hashing",
                ImportStep::Converting => "converting",
            };
            progress(LoadProgress {
                step,
                done: at.done,
                total: at.total,
            });
        };
        if matches!(task, TaskConfig::Embed | TaskConfig::Rerank) {
            if quantization != QuantizationConfig::None {
                return Err(EngineError::new(NotQuantizable));
            }
            if !source.is_dir() {
                let path = source.to_owned();
                return Err(EngineError::new(NoDirectory { path }));
            }
            return import_encoder(source, target, &mut report)
                .map(drop)
                .map_err(EngineError::new);
        }
        import_model(source, target, weights(quantization), &mut report)
            .map(drop)
            .map_err(EngineError::new)
    }

    fn memory_needed(&self, directory: &Path, key: &SlotKey) -> Result<MemoryNeed, EngineError> {
        let need = match key.task {
            TaskConfig::Embed | TaskConfig::Rerank => {
                encoder_memory_needed(directory).map_err(EngineError::new)
            }
            TaskConfig::Summarize if is_seq2seq(directory) => Ok(seq2seq_memory_needed(directory)),
            TaskConfig::Chat | TaskConfig::Summarize => {
                claw_inference::memory_needed(directory, context_length(key))
                    .map_err(EngineError::new)
            }
        }?;
        Ok(MemoryNeed {
            weights: need.weights,
            cache: need.cache,
        })
    }

    fn load(&self, directory: &Path, key: &SlotKey) -> Result<Loaded, EngineError> {
        // Here rather than at start: a gateway without local models needs no ONNX Runtime.
        claw_inference::runtime::init(None).map_err(EngineError::new)?;
        let options = LoadOptions {
            device: match key.device {
                DeviceConfig::Auto => Device::Auto,
                DeviceConfig::Cpu => Device::Cpu,
                DeviceConfig::Cuda => Device::Cuda,
            },
            threads: self.threads,
            context_length: context_length(key),
            memory_bytes: SystemMemory::now().and_then(|memory| usize::try_from(memory.limit).ok()),
            ..LoadOptions::default()
        };
        match key.task {
            TaskConfig::Summarize if is_seq2seq(directory) => {
                Seq2SeqModel::load(directory, options)
                    .map(|model| Loaded::Text(Arc::new(OnnxSummarizer(model))))
                    .map_err(EngineError::new)
            }
            TaskConfig::Chat | TaskConfig::Summarize => ChatModel::load(directory, options)
                .map(|model| Loaded::Text(Arc::new(OnnxEngine(model))))
                .map_err(EngineError::new),
            TaskConfig::Embed => EmbeddingModel::load(directory, options)
                .map(|model| Loaded::Vectors(Arc::new(OnnxEmbedder(model))))
                .map_err(EngineError::new),
            TaskConfig::Rerank => RerankModel::load(directory, options)
                .map(|model| Loaded::Ranking(Arc::new(OnnxReranker(model))))
                .map_err(EngineError::new),
        }
    }
}

fn context_length(key: &SlotKey) -> Option<usize> {
    let length = key.model.context_length?;
    usize::try_from(length).ok()
}

/// A quantization that a model does not have.
#[derive(Debug, thiserror::Error)]
#[error("models that embed or rerank keep 32-bit floating point: choose the quantization None")]
struct NotQuantizable;

/// A source that is no model of its task.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} is a file: models that embed or rerank are directories with config.json, tokenizer.json and model.safetensors or an ONNX graph", path.display()
)]
struct NoDirectory {
    path: PathBuf,
}

fn weights(quantization: QuantizationConfig) -> Quantization {
    match quantization {
        QuantizationConfig::None => Quantization::None,
        QuantizationConfig::Int8 => Quantization::Int8,
        QuantizationConfig::Int4 => Quantization::Int4,
    }
}

struct OnnxEngine(ChatModel);

impl Engine for OnnxEngine {
    fn info(&self) -> EngineInfo {
        let info = self.0.info();
        EngineInfo {
            device: info.device.clone(),
            reason: info.device_reason.clone(),
            context_length: info.context_length as u64,
        }
    }

    fn stats(&self) -> ModelStats {
        self.0.stats()
    }

    fn count_tokens(&self, request: &EngineRequest) -> Result<u64, SubmitError> {
        self.0
            .count_tokens(&request.messages, request.offered_tools())
            .map(|tokens| tokens as u64)
            .map_err(refusal)
    }

    fn submit(&self, request: EngineRequest, mut sink: Sink) -> Result<(), SubmitError> {
        self.0
            .submit(request, Box::new(move |event| sink(translate(event))))
            .map_err(refusal)
    }
}

pub(super) fn translate(event: Event) -> EngineEvent {
    match event {
        Event::Started {
            prompt_tokens,
            waited,
        } => EngineEvent::Started {
            prompt_tokens: prompt_tokens as u64,
            waited,
        },
        Event::Text(text) => EngineEvent::Text(text),
        Event::ToolCall(piece) => EngineEvent::ToolCall(piece),
        Event::LogProbabilities(told) => EngineEvent::LogProbabilities(told),
        Event::Finished { reason, usage } => EngineEvent::Finished {
            reason: match reason {
                claw_inference::FinishReason::Stop => FinishReason::Stop,
                claw_inference::FinishReason::ToolCalls => FinishReason::ToolCalls,
                claw_inference::FinishReason::Length => FinishReason::Length,
            },
            prompt_tokens: usage.prompt_tokens as u64,
            cached_tokens: usage.cached_tokens as u64,
            completion_tokens: usage.completion_tokens as u64,
        },
        Event::Failed(error) => EngineEvent::Failed(crate::config::chain(&error)),
    }
}

fn refusal(error: claw_inference::SubmitError) -> SubmitError {
    use claw_inference::SubmitError as Refusal;
    match error {
        Refusal::QueueFull { retry_after, .. } => SubmitError::QueueFull { retry_after },
        Refusal::PromptTooLong {
            prompt_tokens,
            context_length,
        } => SubmitError::PromptTooLong {
            tokens: prompt_tokens as u64,
            limit: context_length as u64,
        },
        Refusal::InvalidRequest { field, problem } => SubmitError::InvalidRequest {
            field: Some(field.to_owned()),
            message: format!("`{field}` {problem}"),
        },
        error @ (Refusal::Template(_) | Refusal::Encode(_)) => SubmitError::InvalidRequest {
            field: Some("messages".to_owned()),
            message: crate::config::chain(&error),
        },
        Refusal::UnsupportedForm { field, problem } => {
            SubmitError::UnsupportedForm { field, problem }
        }
        Refusal::Closed => SubmitError::Closed,
    }
}
