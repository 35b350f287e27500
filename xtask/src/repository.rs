//! Where the repository lies.

use std::path::PathBuf;

/// The repository's root.
///
/// Taken from what cargo says at run time: checkouts that share a target folder also share this program.
pub(crate) fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package
        .parent()
        .expect("xtask lies in the repository")
        .to_owned()
}
