//! Models in the gateway's own process: fetched, imported, loaded and asked.
//!
//! The engine stands behind [`Engine`] and [`Loader`], so everything here but `onnx` works without ONNX Runtime.

mod engine;
mod slot;

pub use engine::{
    Engine, EngineError, EngineEvent, EngineInfo, EngineRequest, FinishReason, Loader, LoadProgress, Sink, SubmitError,
};
pub use slot::{ModelSlot, SlotKey, SlotState};
