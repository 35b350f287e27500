//! Where files of models are elsewhere: which there are, and how each is asked for. Keeping them is the cache's matter.

mod answer;
mod file_name;
mod http_file;
mod hugging_face;
mod oci;
mod s3;

use std::sync::Arc;

use claw_crds::gateway_config::{ObjectsConfig, SourceConfig};
use claw_crds::outbound::Refusal;
use futures::future::BoxFuture;

use crate::outbound::{Outbound, refusal_in};

pub use file_name::is_safe as is_safe_file_name;

/// A place with files of one model.
pub trait Origin: Send + Sync {
    /// What it is called in messages and by the cache: the same text for the same files, without secrets.
    fn identity(&self) -> String;

    /// Whether what it holds never changes, so that what was fetched once need not be asked for again.
    fn is_fixed(&self) -> bool;

    /// Which files there are now.
    fn list(&self) -> BoxFuture<'_, Result<Vec<RemoteFile>, OriginError>>;

    /// A request for one of them.
    fn request<'a>(
        &'a self,
        file: &'a RemoteFile,
    ) -> BoxFuture<'a, Result<reqwest::RequestBuilder, OriginError>>;
}

/// A file elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteFile {
    /// Its place within the model: relative, with slashes, and without `..`.
    pub name: String,
    /// How its origin finds it: a URL, a key, a digest.
    pub locator: String,
    /// What tells its versions apart, where the SHA-256 is not known: a commit, an `ETag`.
    pub version: String,
    /// Bytes, where the origin tells.
    pub size: Option<u64>,
    /// Lower-case hexadecimal SHA-256, where the origin tells.
    pub sha256: Option<String>,
}

/// Why an origin did not say what it has. No secret, and no signature.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    /// It is where this gateway may not call.
    #[error("{at} may not be called")]
    NotAllowed {
        /// The address.
        at: String,
        /// What may not.
        source: Refusal,
    },
    /// No connection, or no answer.
    #[error("failed to reach {at}: check the address and the network")]
    Unreachable {
        /// The address.
        at: String,
        /// The cause.
        source: reqwest::Error,
    },
    /// It said no.
    #[error("{at} answered with status {status}: {remedy}")]
    Refused {
        /// The address.
        at: String,
        /// The status.
        status: http::StatusCode,
        /// What to do.
        remedy: &'static str,
    },
    /// It said something else than its protocol has.
    #[error("{at} answered with something that is not understood: {what}")]
    Malformed {
        /// The address.
        at: String,
        /// What of it.
        what: String,
    },
    /// It has nothing of what was asked for.
    #[error("{at} has no file for {wanted}: {remedy}")]
    NoFiles {
        /// The address.
        at: String,
        /// What was asked for.
        wanted: String,
        /// What to do.
        remedy: String,
    },
    /// A part of the configuration that cannot be used.
    #[error("{what}: {remedy}")]
    Invalid {
        /// What.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
}

impl OriginError {
    /// Whether the same would be said again, whoever asks.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Unreachable { .. } => false,
            Self::Refused { status, .. } => {
                status.is_client_error() && !matches!(status.as_u16(), 408 | 429)
            }
            Self::NotAllowed { .. }
            | Self::Malformed { .. }
            | Self::NoFiles { .. }
            | Self::Invalid { .. } => true,
        }
    }

    fn malformed(at: &str, what: impl Into<String>) -> Self {
        Self::Malformed {
            at: at.to_owned(),
            what: what.into(),
        }
    }

    /// Why a request was not answered.
    pub(super) fn of_request(at: &str, error: reqwest::Error) -> Self {
        let at = at.to_owned();
        match refusal_in(&error).cloned() {
            Some(source) => Self::NotAllowed { at, source },
            // URLs may hold signatures.
            None => Self::Unreachable {
                at,
                source: error.without_url(),
            },
        }
    }
}

/// Where the files of a source are; `None` where they are on this machine.
pub fn origin_of(
    source: &SourceConfig,
    outbound: &Outbound,
) -> Result<Option<Arc<dyn Origin>>, OriginError> {
    let outbound = outbound.clone();
    Ok(Some(match source {
        SourceConfig::Path(_) => return Ok(None),
        SourceConfig::Http { url, sha256 } => {
            Arc::new(http_file::HttpOrigin::new(outbound, url.clone(), sha256))
        }
        SourceConfig::HuggingFace(config) => {
            Arc::new(hugging_face::Hub::new(outbound, config.clone())?)
        }
        SourceConfig::S3(config) => Arc::new(s3::BucketOrigin::new(outbound, config.clone())?),
        SourceConfig::Oci(config) => Arc::new(oci::Registry::new(outbound, config.clone())),
    }))
}

/// A source as logs and messages show it.
pub fn shown(source: &SourceConfig) -> String {
    match source {
        SourceConfig::Path(path) => path.clone(),
        SourceConfig::Http { url, .. } => without_secrets(url),
        SourceConfig::HuggingFace(hub) => {
            format!("{}/{} at {}", hub.endpoint, hub.repo, hub.revision)
        }
        SourceConfig::S3(s3) => {
            let objects = match &s3.objects {
                ObjectsConfig::Key { key, .. } => key.clone(),
                ObjectsConfig::Prefix(prefix) => format!("{prefix}/"),
            };
            format!("s3://{}/{objects} at {}", s3.bucket, s3.endpoint)
        }
        SourceConfig::Oci(oci) => {
            format!("{}/{}:{}", oci.registry, oci.repository, oci.reference)
        }
    }
}

/// An address without what may be secret in it: user, password, signature.
pub(super) fn without_secrets(url: &str) -> String {
    url::Url::parse(url).map_or_else(
        |_| "(not a URL)".to_owned(),
        |mut url| {
            // Only URLs that cannot carry credentials refuse, and those have none.
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.set_query(None);
            url.to_string()
        },
    )
}

#[cfg(test)]
mod tests;
