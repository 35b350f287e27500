//! Models in the gateway's own process: fetched, imported, loaded and asked.
//!
//! The engine stands behind [`Engine`] and [`Loader`], so everything here but `onnx` works without ONNX Runtime.

mod engine;
#[cfg(test)]
pub(crate) mod fake;
pub mod fetch;
mod onnx;
mod pool;
mod preparation;
mod slot;

pub use engine::{
    AnswerFormat, Cancellation, Engine, EngineError, EngineEvent, EngineInfo, EngineMessage,
    EngineRequest, FinishReason, LoadProgress, Loader, ModelStats, Sink, SubmitError,
    TokenLogProbabilities, TokenLogProbability, Tool, ToolCall, ToolCallPiece, ToolChoice,
};
pub use onnx::OnnxLoader;
pub use pool::ModelPool;
pub use preparation::Workshop;
pub use slot::{ModelSlot, SlotKey, SlotState};
