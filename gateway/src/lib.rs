//! The gateway: one door to local and remote chat models, for programs (OpenAI's API) and for people (channels).
//!
//! The request path, top to bottom: `server` (TLS, connections) → `middleware` → `handlers` → `routing` (pure) →
//! `dispatch` → `models` (in this process) or `provider` (elsewhere). The control path: `config` reads, checks and
//! swaps what all of them run on.

pub mod args;
pub mod audit;
pub mod audit_command;
pub mod auth;
pub mod channel;
pub mod client_address;
pub mod config;
pub mod conversation;
pub mod conversion;
pub mod dispatch;
pub mod doctor;
pub mod error;
pub mod exit;
#[cfg(test)]
mod fuzz_corpus;
pub mod gateway;
pub mod handlers;
mod idle_timer;
pub mod limits;
pub mod mailbox;
pub mod management;
pub mod metrics;
pub mod middleware;
pub mod model_command;
pub mod models;
pub mod openapi;
pub mod outbound;
pub mod provider;
pub mod respond;
pub mod router;
pub mod routing;
pub mod server;
pub mod shutdown;
pub mod state;
pub mod store;
pub mod telemetry;
mod turn;
pub mod types;

pub use state::{AppParts, AppState};
