//! The audit log: who did what, kept so that nobody can change it unnoticed.
//!
//! Records are lines of JSON in segments under `<state>/audit/<chain>/`. Each line carries the SHA-256 of the line before
//! it and of itself (`line`), and a manifest says how far the chain goes (`manifest`), so that a changed byte, a removed
//! line and a cut tail are all found (`verify`).
//!
//! A request only fills a [`Request`] and hands it over; one thread (`writer`) renders, hashes, writes and syncs whole
//! batches. Memory is bounded by places (`handle`) that requests take before they begin. See
//! `docs/adr/0007-what-waits-for-the-audit-log.md`.

mod archive;
mod chains;
mod changes;
mod content;
mod event;
mod handle;
mod line;
mod log;
mod manifest;
pub mod notes;
mod progress;
mod recovery;
mod render;
mod segment;
mod sinks;
mod verify;
mod writer;

pub use chains::chain_directories;
pub(crate) use changes::Summary;
pub use content::Content;
pub use event::{ChannelMessage, Event, Request};
pub use handle::{Audit, Place};
pub use line::{Digest, Link, LinkError};
pub use progress::{Counters, Progress};
pub use segment::Segment;
pub use sinks::{SinkCounters, SinkReport};
pub use verify::{ChainReport, Fault, verify, verify_part};

/// The folder of the log in a state directory.
pub const FOLDER: &str = "audit";
