//! Pure translations of a checked request into what a model takes, and of answers into what a client reads.

pub mod anthropic;
mod blocks;
mod chat;
mod document_request;
pub mod embedding;
mod engine_answer;
mod engine_request;
mod failure;
mod fault;
mod field_names;
#[cfg(test)]
mod fuzz;
pub mod gemini;
#[cfg(test)]
mod golden;
pub mod messages;
mod named_event;
mod narrator;
pub mod openai_answer;
mod parts;
#[cfg(test)]
mod provider_golden;
pub mod ranking;
pub mod responses;
pub mod summary;
mod target;
mod text_shape;
mod upstream_body;

pub use document_request::document_request;
pub use engine_answer::{EngineAnswer, Whole};
pub use engine_request::{HONOURED as HONOURED_IN_ALL, engine_request, format_field};
pub use failure::Failure;
pub use fault::{Fault, Piece};
pub use field_names::FieldNames;
pub use named_event::NamedEvent;
pub use narrator::Narrator;
pub use parts::{Part, parts};
pub use target::Target;
pub use text_shape::{FoundText, TextShape};
pub use upstream_body::upstream_body;
