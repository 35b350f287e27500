//! OpenAI's chat completions on the wire.

mod chat_request;
mod chat_response;
mod fields;

pub use chat_request::{ChatRequest, Content, Message};
pub use chat_response::{
    ChatChunk, ChatCompletion, Choice, ChunkChoice, Delta, Usage, completion_id, unix_seconds,
};
