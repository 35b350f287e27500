//! The Go tool chain: whether there is one, and whether it can build the pinned modules.

use std::{path::Path, process::Command};

/// From this release on, Go fetches a newer tool chain by itself where a module asks for it.
const OLDEST: (u32, u32) = (1, 21);

/// Why Go cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GoError {
    /// There is no `go`.
    #[error(
        "`go` was not found: install Go {}.{} or newer (Debian and Ubuntu: apt-get install golang-go, or the archive \
         from https://go.dev/dl where that is older), or point KUBEBUILDER_ASSETS at a directory that holds etcd, \
         kube-apiserver, kube-controller-manager and kubectl",
        OLDEST.0, OLDEST.1
    )]
    Missing(#[source] std::io::Error),
    /// It is too old.
    #[error(
        "{found:?} is too old: install Go {}.{} or newer (https://go.dev/dl)",
        OLDEST.0, OLDEST.1
    )]
    TooOld {
        /// What `go version` said.
        found: String,
    },
    /// It refuses the module.
    #[error("`go version` failed for {module}: {message}")]
    Refused {
        /// Which module.
        module: String,
        /// What it said.
        message: String,
    },
}

/// That Go can build the module in `directory`.
pub(super) fn check(directory: &Path) -> Result<(), GoError> {
    let output = Command::new("go")
        .arg("version")
        .current_dir(directory)
        .output()
        .map_err(GoError::Missing)?;
    if !output.status.success() {
        return Err(GoError::Refused {
            module: directory.display().to_string(),
            message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        });
    }
    let found = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match parse(&found) {
        Some(version) if version < OLDEST => Err(GoError::TooOld { found }),
        // A development build has no number; it is newer than any release.
        Some(_) | None => Ok(()),
    }
}

/// `go version go1.26.8 linux/amd64` is 1.26.
fn parse(text: &str) -> Option<(u32, u32)> {
    let release = text.split_whitespace().nth(2)?.strip_prefix("go")?;
    let (major, rest) = release.split_once('.')?;
    let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read_from_what_go_says() {
        assert_eq!(parse("go version go1.26.8 linux/amd64"), Some((1, 26)));
        assert_eq!(parse("go version go1.19 linux/amd64"), Some((1, 19)));
        assert_eq!(parse("go version go1.27rc1 linux/arm64"), Some((1, 27)));
        assert_eq!(parse("go version devel +2bc8d90fa21e"), None);
    }

    #[test]
    fn a_missing_go_is_answered_with_what_to_install() {
        let error = GoError::Missing(std::io::ErrorKind::NotFound.into());
        assert!(error.to_string().contains("golang-go"), "{error}");
        assert!(error.to_string().contains("KUBEBUILDER_ASSETS"), "{error}");
    }
}
