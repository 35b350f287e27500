//! The gateway: one door to local and remote chat models, for programs (OpenAI's API) and for people (channels).
//!
//! The request path, top to bottom: `server` (TLS, connections) → `middleware` → `handlers` → `routing` (pure) →
//! `dispatch` → `models` (in this process) or `provider` (elsewhere). The control path: `config` reads, checks and
//! swaps what all of them run on.

pub mod auth;
pub mod config;
pub mod error;
pub mod models;
pub mod respond;
pub mod routing;
pub mod state;

pub use state::AppState;
