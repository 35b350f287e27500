//! The operator: it makes the cluster what ClawGateways, ModelRoutes and Channels say, and tells in their
//! statuses how far that got.
//!
//! What the objects mean is decided by `claw_crds::compile`; here it is brought into the cluster.

pub mod announcer;
pub mod args;
pub mod attachment;
pub mod attachments;
pub mod backoff;
pub mod cache;
pub mod channel;
pub mod claw_gateway;
pub mod context;
pub mod controllers;
pub mod dispatch;
pub mod drift;
pub mod environment;
pub mod error;
pub mod excerpt;
#[cfg(test)]
mod fixtures;
pub mod health;
pub mod kinds;
pub mod labels;
pub mod leader;
pub mod metrics;
pub mod model_route;
pub mod monitoring;
pub mod names;
pub mod quantity;
pub mod rbac;
pub mod report;
pub mod run;
pub mod scope;
pub mod secret_index;
pub mod telemetry;
pub mod watch;
pub mod world;

pub use args::Args;
pub use run::{Error, run, run_with};
