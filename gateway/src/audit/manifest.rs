//! How far a chain goes, beside its segments: by it a cut tail and deleted segments are noticed.
//!
//! It is written after the records it names are on disk, so it never names one that a crash could take away.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::line::{Digest, Link};

const NAME: &str = "manifest.json";
const VERSION: u32 = 1;

/// The ends of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    version: u32,
    /// The record before the oldest that is kept.
    pub(super) before: Link,
    /// A record that is on disk, not long ago the last.
    pub(super) last: Link,
}

/// With its own hash, so that a slip of an editor or of the disk shows.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    manifest: Manifest,
    sha256: Digest,
}

/// Why there is no manifest.
#[derive(Debug, thiserror::Error)]
pub(super) enum ManifestError {
    /// It cannot be read, or is not there.
    #[error("the manifest cannot be read")]
    Io(#[from] io::Error),
    /// It is not one.
    #[error("the manifest was altered")]
    Altered,
}

impl Manifest {
    pub(super) fn new(before: Link, last: Link) -> Self {
        Self {
            version: VERSION,
            before,
            last,
        }
    }

    pub(super) fn path(directory: &Path) -> PathBuf {
        directory.join(NAME)
    }

    pub(super) fn read(directory: &Path) -> Result<Self, ManifestError> {
        let bytes = std::fs::read(Self::path(directory))?;
        let Stored { manifest, sha256 } =
            serde_json::from_slice(&bytes).map_err(|_| ManifestError::Altered)?;
        if manifest.digest() == sha256 && manifest.version == VERSION {
            Ok(manifest)
        } else {
            Err(ManifestError::Altered)
        }
    }

    /// Replace it, whole or not at all.
    pub(super) fn write(&self, directory: &Path) -> io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".manifest-")
            .tempfile_in(directory)?;
        file.write_all(&self.to_json())?;
        file.as_file().sync_data()?;
        file.persist(Self::path(directory))
            .map(drop)
            .map_err(|error| error.error)
    }

    /// As it is stored.
    pub(super) fn to_json(self) -> Vec<u8> {
        let stored = Stored {
            manifest: self,
            sha256: self.digest(),
        };
        let mut bytes = serde_json::to_vec(&stored).expect("numbers and text");
        bytes.push(b'\n');
        bytes
    }

    fn digest(&self) -> Digest {
        let bytes = serde_json::to_vec(self).expect("numbers and text");
        Digest::of(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_reads_back_and_an_altered_one_does_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let last = Link {
            sequence: 12,
            hash: Digest::of(b"twelve"),
        };
        let manifest = Manifest::new(Link::default(), last);
        manifest.write(folder.path()).expect("written");
        assert_eq!(Manifest::read(folder.path()).expect("read"), manifest);
        let path = Manifest::path(folder.path());
        let text = std::fs::read_to_string(&path).expect("text");
        std::fs::write(&path, text.replace("12", "11")).expect("written");
        assert!(matches!(
            Manifest::read(folder.path()),
            Err(ManifestError::Altered)
        ));
    }
}
