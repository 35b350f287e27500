//! How the program ends.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done, or drained after SIGTERM or SIGINT |
//! | 64 | bad flags or bad configuration; nothing was started |
//! | 65 | bad data: a corrupt model file, one with another SHA-256 than it should have, an audit log that was altered |
//! | 69 | a port cannot be opened, for example because it is in use; or this machine has no GPU that can be used |
//! | 70 | an internal error |
//! | 74 | reading or writing failed: a download, a disk |
//! | 75 | not ready within `--ready-within` |

use std::process::ExitCode;

/// Why a command did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Bad flags or configuration.
    #[error("{0}")]
    Usage(String),
    /// A file that is not what it should be.
    #[error("{0}")]
    Data(String),
    /// A port that cannot be opened.
    #[error("{0}")]
    Bind(String),
    /// Something that this machine lacks.
    #[error("{0}")]
    Unavailable(String),
    /// A bug, or an operating system out of its mind.
    #[error("{0}")]
    Internal(String),
    /// Reading or writing failed.
    #[error("{0}")]
    Io(String),
    /// Too slow.
    #[error("{0}")]
    NotReady(String),
}

impl Failure {
    /// The code of the table above.
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 64,
            Self::Data(_) => 65,
            Self::Bind(_) | Self::Unavailable(_) => 69,
            Self::Internal(_) => 70,
            Self::Io(_) => 74,
            Self::NotReady(_) => 75,
        }
    }
}

impl From<Failure> for ExitCode {
    fn from(failure: Failure) -> Self {
        Self::from(failure.code())
    }
}

impl From<crate::config::ConfigError> for Failure {
    fn from(error: crate::config::ConfigError) -> Self {
        let crate::config::ConfigError { origin, problems } = error;
        Self::Usage(match problems.as_slice() {
            [only] => format!("{origin}: {only}"),
            many => format!(
                "{origin}: {} problems\n  - {}",
                many.len(),
                many.join("\n  - ")
            ),
        })
    }
}
