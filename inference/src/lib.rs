//! Runs models on ONNX Runtime, in the process that calls it.
//!
//! [`import::import_model`] turns a model as it is published into a model directory; [`ChatModel::load`] loads one and answers
//! [`ChatRequest`]s, token by token. [`import::import_encoder`] does the same for text encoders, which [`EmbeddingModel`]
//! and [`RerankModel`] run, many texts at once. Everything here blocks and knows nothing of HTTP or Kubernetes; each
//! loaded model works on a thread of its own.

mod answer_text;
mod batching;
mod chat_model;
mod chat_request;
mod chat_template;
mod decoder;
mod device;
mod digest;
mod embedding;
pub mod encoder;
mod event;
mod exponential;
mod fault;
mod generation;
mod grammar;
pub mod import;
mod kv_cache;
mod memory_need;
pub mod model_dir;
mod model_thread;
mod prefix_cache;
pub mod quality;
mod rerank;
mod sampler;
mod scheduler;
mod seq2seq;
mod session;
mod speculation;
mod stop_strings;
mod text_stream;
mod tokenizer;
mod tools;

pub use batching::BatchError;
pub use chat_model::{ChatModel, LoadError, LoadOptions, ModelInfo, SubmitError};
pub use chat_request::{Cancellation, ChatRequest, Message};
pub use chat_template::{ChatTemplate, ChatTemplateError};
pub use device::Device;
pub use embedding::{EmbedInput, EmbedRequest, EmbeddingModel, Embeddings};
pub use event::{
    Event, EventSink, FinishReason, GenerationError, TokenLogProbabilities, TokenLogProbability,
    Usage,
};
pub use grammar::{
    AnswerFormat, GrammarError, MAX_CHOICES, MAX_REGEX_BYTES, MAX_SCHEMA_BYTES, MAX_SCHEMA_VALUES,
};
pub use kv_cache::KvShape;
pub use memory_need::{MemoryNeed, encoder_memory_needed, memory_needed, seq2seq_memory_needed};
pub use model_dir::{ModelDir, ModelDirError, Quantization};
pub use model_thread::wait_for_models;
pub use rerank::{RerankModel, RerankRequest, Scores};
pub use sampler::most_likely;
pub use scheduler::ModelStats;
pub use seq2seq::{
    Seq2SeqDirError, Seq2SeqInfo, Seq2SeqLoadError, Seq2SeqModel, Seq2SeqRequest, is_seq2seq,
};
pub use session::{
    DecoderSession, EncoderError, EncoderSession, Placement, SessionError, SessionOptions, runtime,
};
pub use tokenizer::{Tokenizer, TokenizerLoadError};
pub use tools::{Tool, ToolCall, ToolCallBegin, ToolCallPiece, ToolChoice};
