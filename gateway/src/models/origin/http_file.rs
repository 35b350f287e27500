//! One file behind a URL, known by its SHA-256.

use futures::future::BoxFuture;

use super::{Origin, OriginError, RemoteFile, without_secrets};
use crate::outbound::Outbound;

/// What the file is called: a model of one file is GGUF.
const NAME: &str = "model.gguf";

/// A file behind a URL.
pub(super) struct HttpOrigin {
    outbound: Outbound,
    url: String,
    sha256: String,
}

impl HttpOrigin {
    pub(super) fn new(outbound: Outbound, url: String, sha256: &str) -> Self {
        Self {
            outbound,
            url,
            sha256: sha256.to_ascii_lowercase(),
        }
    }
}

impl Origin for HttpOrigin {
    fn identity(&self) -> String {
        format!(
            "{} with SHA-256 {}",
            without_secrets(&self.url),
            self.sha256
        )
    }

    fn is_fixed(&self) -> bool {
        true
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<RemoteFile>, OriginError>> {
        let file = RemoteFile {
            name: NAME.to_owned(),
            locator: self.url.clone(),
            version: String::new(),
            size: None,
            sha256: Some(self.sha256.clone()),
        };
        Box::pin(std::future::ready(Ok(vec![file])))
    }

    fn request<'a>(
        &'a self,
        file: &'a RemoteFile,
    ) -> BoxFuture<'a, Result<reqwest::RequestBuilder, OriginError>> {
        let request = self.outbound.download(&file.locator);
        let request = request.map_err(|source| OriginError::NotAllowed {
            at: without_secrets(&self.url),
            source,
        });
        Box::pin(std::future::ready(request))
    }
}
