//! The endpoints of the public port, one a file.

mod answer;
mod body;
pub mod chat_completions;
mod event_stream;
pub mod messages;
pub mod models;
pub mod openapi;
pub mod passed_on;
pub mod responses;
pub mod route_paths;
