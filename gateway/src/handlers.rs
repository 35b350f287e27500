//! The endpoints of the public port, one a file.

mod answer;
pub mod chat_completions;
pub mod models;
pub mod route_paths;

pub use answer::AnsweredBy;
