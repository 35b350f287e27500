//! What the gateway asks of an inference engine.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use claw_crds::gateway_config::{QuantizationConfig, TaskConfig};
pub use claw_inference::{
    AnswerFormat, Cancellation, ChatRequest as EngineRequest, Message as EngineMessage, ModelStats,
    TokenLogProbabilities, TokenLogProbability, Tool, ToolCall, ToolCallPiece, ToolChoice,
};

use super::{Loaded, MemoryNeed, SlotKey};

/// A loaded model. Generation runs on threads of the engine's own.
pub trait Engine: Send + Sync + 'static {
    /// What runs where.
    fn info(&self) -> EngineInfo;

    /// What it did so far, and does now.
    fn stats(&self) -> ModelStats;

    /// Whether it reads a whole text and answers with another, as sequence-to-sequence models do. One that does takes
    /// a prompt and no conversation.
    fn reads_documents(&self) -> bool {
        false
    }

    /// The length of a conversation's prompt, the chat template and the tools included.
    fn count_tokens(&self, request: &EngineRequest) -> Result<u64, SubmitError>;

    /// Queue a request; its events go to the sink, on a thread of the engine, until the sink breaks.
    fn submit(&self, request: EngineRequest, sink: Sink) -> Result<(), SubmitError>;
}

/// Gets models ready. Blocking; called on threads that may block.
pub trait Loader: Send + Sync + 'static {
    /// Which version of the importer wrote a model directory: another one imports anew.
    fn importer_version(&self) -> String;

    /// Turn a model as it is published, for a task, into a model directory at a path that does not exist yet.
    fn import(
        &self,
        source: &Path,
        target: &Path,
        task: TaskConfig,
        quantization: QuantizationConfig,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<(), EngineError>;

    /// What a model directory will take in memory.
    fn memory_needed(&self, directory: &Path, key: &SlotKey) -> Result<MemoryNeed, EngineError>;

    /// Load a model directory and warm it by a real run.
    fn load(&self, directory: &Path, key: &SlotKey) -> Result<Loaded, EngineError>;
}

/// Receives the events of one generation; `Break` cancels it.
pub type Sink = Box<dyn FnMut(EngineEvent) -> ControlFlow<()> + Send>;

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadProgress {
    /// What is being done, e.g. `converting`.
    pub step: &'static str,
    /// Bytes of the source done.
    pub done: u64,
    /// Bytes of the source in all.
    pub total: u64,
}

/// What runs where.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EngineInfo {
    /// The device, e.g. `Cpu`.
    pub device: String,
    /// Why that one, where it was not asked for by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Longest prompt plus answer in tokens.
    pub context_length: u64,
}

/// What a generation tells.
#[derive(Clone, Debug, PartialEq)]
pub enum EngineEvent {
    /// The prompt was taken in.
    Started {
        /// Its length.
        prompt_tokens: u64,
        /// How long it was in the queue.
        waited: Duration,
    },
    /// A piece of text.
    Text(String),
    /// A piece of a call of a tool.
    ToolCall(ToolCallPiece),
    /// How likely a token of the next piece was.
    LogProbabilities(TokenLogProbabilities),
    /// The end.
    Finished {
        /// Why.
        reason: FinishReason,
        /// Length of the prompt.
        prompt_tokens: u64,
        /// Tokens of the prompt that an earlier one had in common with it.
        cached_tokens: u64,
        /// Length of the answer.
        completion_tokens: u64,
    },
    /// The generation failed; nothing follows.
    Failed(String),
}

/// Why a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model was done, or said a stop text.
    Stop,
    /// The model was done, and calls tools.
    ToolCalls,
    /// `max_tokens` or the context's end.
    Length,
}

impl FinishReason {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::ToolCalls => "tool_calls",
            Self::Length => "length",
        }
    }
}

/// Why a request was not queued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Too many wait already.
    #[error("the queue is full")]
    QueueFull {
        /// When it will have moved on, as fast as it moves now.
        retry_after: Duration,
    },
    /// The prompt does not fit.
    #[error("the prompt of {tokens} tokens does not fit the context of {limit}")]
    PromptTooLong {
        /// Length of the prompt.
        tokens: u64,
        /// The context's length.
        limit: u64,
    },
    /// One of several inputs does not fit.
    #[error("{field} has {tokens} tokens, and the model takes {limit}")]
    InputTooLong {
        /// The input.
        field: String,
        /// Its length.
        tokens: u64,
        /// The longest one.
        limit: u64,
    },
    /// A value that the model cannot take.
    #[error("{message}")]
    InvalidRequest {
        /// The field, where one is at fault.
        field: Option<String>,
        /// What is wrong.
        message: String,
    },
    /// A form of the answer that the engine cannot hold a model to.
    #[error("`{field}` {problem}")]
    UnsupportedForm {
        /// `response_format`, or `tools`.
        field: &'static str,
        /// Why not.
        problem: String,
    },
    /// The model was unloaded.
    #[error("the model was unloaded")]
    Closed,
}

/// Why a model is not loaded: the engine's own error, with its causes.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct EngineError(Box<dyn std::error::Error + Send + Sync>);

impl EngineError {
    /// Wrap an engine's error.
    pub fn new(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self(Box::new(error))
    }
}
