//! Pure translations of a checked request into what a model takes.

mod engine_request;
mod upstream_body;

pub use engine_request::engine_request;
pub use upstream_body::upstream_body;
