//! Models in the gateway's own process: fetched, imported, loaded and asked.
//!
//! The engine stands behind [`Engine`] and [`Loader`], so everything here but `onnx` works without ONNX Runtime.

pub mod cache;
mod engine;
#[cfg(test)]
pub(crate) mod fake;
pub mod fetch;
#[cfg(test)]
mod file_server;
mod loaded;
mod memory;
mod onnx;
mod onnx_encoders;
mod onnx_summarizer;
pub mod origin;
mod pool;
mod preparation;
mod slot;
mod state;

pub use engine::{
    AnswerFormat, Cancellation, Engine, EngineError, EngineEvent, EngineInfo, EngineMessage,
    EngineRequest, FinishReason, LoadProgress, Loader, ModelStats, Sink, SubmitError,
    TokenLogProbabilities, TokenLogProbability, Tool, ToolCall, ToolCallPiece, ToolChoice,
};
pub use loaded::{Done, Embedder, Loaded, Reranker};
pub use memory::MemoryNeed;
pub use onnx::OnnxLoader;
pub use pool::{ModelPool, PoolFigures};
pub use preparation::Workshop;
pub use slot::{Lease, ModelSlot, SlotKey};
pub use state::{FailureKind, SlotState};
