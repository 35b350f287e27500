//! Why a caller is not let in, for the caller and for the metrics.

use std::time::Duration;

use jiff::Timestamp;

use super::client_certificate::CertificateFault;
use super::credential::NoCredential;
use super::grant::NotGranted;
use super::token_fault::TokenFault;
use crate::error::GatewayError;

/// Those who issue tokens are asked again after this, or sooner.
const ISSUER_RETRY: Duration = Duration::from_secs(10);

/// Why a caller is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// There is no credential.
    Missing,
    /// The header is not as it should be.
    Malformed,
    /// Nobody knows the credential.
    Unknown,
    /// It is a token that is not accepted.
    Token(TokenFault),
    /// Nobody can tell whether a token is good.
    Unavailable(Unavailable),
    /// Only certificates count here, and there is none.
    NoCertificate,
    /// The connection's certificate is not accepted.
    Certificate(CertificateFault),
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

/// Who cannot be asked about a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// The issuer has published no keys that could be had.
    IssuerKeys,
    /// The server that knows it.
    Introspection,
}

impl Denied {
    /// Whether somebody may be guessing.
    pub(super) fn is_guess(&self) -> bool {
        match self {
            Self::Unknown | Self::Certificate(_) => true,
            Self::Token(fault) => fault.is_guess(),
            Self::Missing
            | Self::Malformed
            | Self::NoCertificate
            | Self::Unavailable(_)
            | Self::Expired { .. }
            | Self::Address
            | Self::Path
            | Self::Throttled { .. } => false,
        }
    }

    /// A word for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing | Self::NoCertificate => "missing",
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::Token(fault) => fault.reason(),
            Self::Unavailable(_) => "unavailable",
            Self::Certificate(_) => "certificate",
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

impl From<CertificateFault> for GatewayError {
    fn from(fault: CertificateFault) -> Self {
        match fault {
            CertificateFault::NotTrusted => Self::Unauthorized {
                message: "the client certificate is not accepted by this gateway",
            },
            CertificateFault::Revoked => Self::Unauthorized {
                message: "the client certificate has been revoked",
            },
            CertificateFault::RevocationUnknown => Self::Unauthorized {
                message: "whether the client certificate has been revoked is not known: the list of its authority is missing or outdated",
            },
            CertificateFault::Nameless => Self::Unauthorized {
                message: "the client certificate names nobody: give it a subjectAltName or a common name",
            },
            CertificateFault::Name(name) => Self::Forbidden {
                message: format!(
                    "the name `{name}` of the client certificate is not among those that are admitted"
                ),
            },
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
            Denied::Unknown => Self::InvalidCredential {
                code: "invalid_api_key",
                message: "the API key is not known to this gateway".into(),
            },
            Denied::Token(fault) => Self::InvalidCredential {
                code: "invalid_token",
                message: fault.message(),
            },
            Denied::Unavailable(unavailable) => Self::IdentityUnavailable {
                message: match unavailable {
                    Unavailable::IssuerKeys => "the keys of the token's issuer are not available",
                    Unavailable::Introspection => {
                        "the server that knows the token is not available"
                    }
                },
                retry_after: ISSUER_RETRY,
            },
            Denied::NoCertificate => Self::Unauthorized {
                message: "no client certificate: show one in the TLS handshake",
            },
            Denied::Certificate(fault) => fault.into(),
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
