//! Why a caller is not let in, for the caller and for the metrics.

use std::time::Duration;

use jiff::Timestamp;

use super::credential::NoCredential;
use super::grant::NotGranted;
use crate::error::GatewayError;

/// Why a caller is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// There is no credential.
    Missing,
    /// The header is not as it should be.
    Malformed,
    /// Nobody knows the credential.
    Unknown,
    /// It was good once.
    Expired {
        /// Until then.
        at: Timestamp,
    },
    /// Not from there.
    Address,
    /// Not at this path.
    Path,
    /// Too many failed before it.
    Throttled {
        /// When it is looked at.
        retry_after: Duration,
    },
}

impl Denied {
    /// A word for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::Expired { .. } => "expired",
            Self::Address => "address",
            Self::Path => "path",
            Self::Throttled { .. } => "throttled",
        }
    }
}

impl From<NoCredential> for Denied {
    fn from(absent: NoCredential) -> Self {
        match absent {
            NoCredential::Missing => Self::Missing,
            NoCredential::Malformed => Self::Malformed,
        }
    }
}

impl From<NotGranted> for Denied {
    fn from(refused: NotGranted) -> Self {
        match refused {
            NotGranted::Expired(at) => Self::Expired { at },
            NotGranted::Address => Self::Address,
            NotGranted::Path => Self::Path,
        }
    }
}

impl From<Denied> for GatewayError {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Missing => Self::Unauthorized {
                message: "no API key: send it as `Authorization: Bearer <key>`",
            },
            Denied::Malformed => Self::Unauthorized {
                message: "the Authorization header is not of the form `Bearer <key>`",
            },
            Denied::Unknown => Self::Unauthorized {
                message: "the API key is not known to this gateway",
            },
            Denied::Expired { at } => Self::CredentialExpired { at },
            Denied::Address => Self::Forbidden {
                message: "this credential may not be used from your address".to_owned(),
            },
            Denied::Path => Self::Forbidden {
                message: "this credential may not be used at this path".to_owned(),
            },
            Denied::Throttled { retry_after } => Self::TooManyFailures { retry_after },
        }
    }
}
