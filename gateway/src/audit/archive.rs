//! Copies closed segments to object storage, before they become too old for the disk.
//!
//! A segment is uploaded whole, with its SHA-256 for the server to check, and counts as archived once the server has said
//! that SHA-256, or the object was read back and has it. Beside the segments of a chain lies a manifest that goes as far
//! as they do, so that a downloaded folder is a log that `clawdbot audit verify` checks to both ends.

mod archivist;
mod s3;
mod state;

pub(super) use archivist::{Archivist, Own};
pub(super) use s3::Storage;
pub(super) use state::Archived;

/// The name under which it is counted; no sink may have it.
pub(super) const NAME: &str = "archive";
