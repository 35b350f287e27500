//! Pure translations of a checked request into what a model takes, and of answers into what a client reads.

mod blocks;
mod engine_request;
mod field_names;
#[cfg(test)]
mod golden;
pub mod messages;
mod named_event;
mod narrator;
pub mod responses;
mod upstream_body;

pub use engine_request::{engine_messages, engine_request};
pub use field_names::FieldNames;
pub use named_event::NamedEvent;
pub use narrator::Narrator;
pub use upstream_body::upstream_body;
