//! Why there was no answer.

use std::error::Error;
use std::io;

use claw_crds::outbound::Refusal;

/// Why a request could not be sent, or its answer not be read.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// It leads to where nobody may call.
    #[error(transparent)]
    NotAllowed(#[from] Refusal),
    /// A credential that HTTP cannot carry.
    #[error("the key cannot be sent in a header")]
    Header(#[source] http::header::InvalidHeaderValue),
    /// Its name leads nowhere, or to where nobody may call.
    #[error("failed to look up the host")]
    Lookup(#[source] Box<dyn Error + Send + Sync>),
    /// Nobody is there.
    #[error("failed to connect to {host}")]
    Connect {
        /// The host.
        host: String,
        /// What the system said.
        source: io::Error,
    },
    /// The connection failed.
    #[error("the exchange failed")]
    Exchange(#[source] hyper::Error),
    /// The client for TLS says.
    #[error(transparent)]
    Client(reqwest::Error),
}
