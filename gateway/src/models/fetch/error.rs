//! Why a file did not come.

use std::path::PathBuf;

use crate::models::origin::OriginError;

/// Why a file was not fetched. No secret, and no signature.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Its origin cannot be asked.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// An answer without the file.
    #[error("failed to download {file} from {at}: the server answered with status {status}")]
    Status {
        /// The file.
        file: String,
        /// From where.
        at: String,
        /// The status.
        status: http::StatusCode,
    },
    /// The connection broke.
    #[error("the download of {file} was cut off after {received} bytes")]
    Interrupted {
        /// The file.
        file: String,
        /// What had come.
        received: u64,
        /// The cause; absent where the server ended it too early.
        source: Option<reqwest::Error>,
    },
    /// Not the file that was meant.
    #[error(
        "the file {file} has sha256 {actual}, expected {expected}: correct the sha256 of the source if the file is the right one"
    )]
    Checksum {
        /// The file.
        file: String,
        /// What was configured, or what its origin says.
        expected: String,
        /// What came.
        actual: String,
    },
    /// More than there is room for.
    #[error(
        "{file} takes {needed} bytes, and {} has room for {available}: free some space, or give it more \
         (spec.storage.size of a ClawGateway)", folder.display()
    )]
    NoSpace {
        /// The file.
        file: String,
        /// What is to come.
        needed: u64,
        /// What may be used.
        available: u64,
        /// Where.
        folder: PathBuf,
    },
    /// The file cannot be kept.
    #[error("failed to write {}", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

impl FetchError {
    /// Whether another try at once would end the same.
    pub(super) fn is_lasting(&self) -> bool {
        match self {
            Self::Origin(error) => error.is_lasting(),
            Self::Status { status, .. } => {
                status.is_client_error() && !matches!(status.as_u16(), 408 | 429)
            }
            Self::Interrupted { .. } => false,
            Self::Checksum { .. } | Self::NoSpace { .. } | Self::Write { .. } => true,
        }
    }
}
