//! Where tasks keep what they fetch and build, shared by all checkouts of the project.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// `<user cache>/claw/<name>`, made if need be.
pub(crate) fn directory(name: &str) -> anyhow::Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))
        .context(
            "neither XDG_CACHE_HOME nor HOME is set: set one of them to a writable directory",
        )?;
    let directory = base.join("claw").join(name);
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("failed to make {}", directory.display()))?;
    Ok(directory)
}

/// The repository's root.
///
/// Taken from what cargo says at run time: checkouts that share a target folder also share this program.
pub(crate) fn repository() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package
        .parent()
        .expect("xtask lies in the repository")
        .to_owned()
}
