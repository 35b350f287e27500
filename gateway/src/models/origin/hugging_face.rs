//! A repository of the Hugging Face hub, by its HTTP API: one request lists the files of a revision with their sizes and,
//! for large ones, SHA-256; each is then fetched at the commit that the revision stood for.
//!
//! <https://huggingface.co/docs/hub/api>

use claw_crds::gateway_config::HuggingFaceConfig;
use futures::future::BoxFuture;
use globset::{Glob, GlobSet, GlobSetBuilder};
use serde::Deserialize;
use url::Url;

use super::{Origin, OriginError, RemoteFile, answer, file_name};
use crate::outbound::Outbound;

/// How many names a message shows.
const SHOWN: usize = 12;

/// A repository.
pub(super) struct Hub {
    outbound: Outbound,
    config: HuggingFaceConfig,
    wanted: GlobSet,
}

/// What the hub says of a revision.
#[derive(Deserialize)]
struct Revision {
    /// The commit.
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    #[serde(rename = "rfilename")]
    name: String,
    size: Option<u64>,
    /// Of files in large storage.
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: Option<String>,
    size: Option<u64>,
}

impl Hub {
    pub(super) fn new(outbound: Outbound, config: HuggingFaceConfig) -> Result<Self, OriginError> {
        let mut wanted = GlobSetBuilder::new();
        for pattern in &config.files {
            let glob = Glob::new(pattern).map_err(|error| OriginError::Invalid {
                what: format!(
                    "huggingFace.files {pattern:?} is not a pattern ({})",
                    error.kind()
                ),
                remedy: "give a name, or a pattern such as *.gguf",
            })?;
            wanted.add(glob);
        }
        let wanted = wanted.build().map_err(|error| OriginError::Invalid {
            what: format!("huggingFace.files are no patterns ({})", error.kind()),
            remedy: "give names, or patterns such as *.gguf",
        })?;
        Ok(Self {
            outbound,
            config,
            wanted,
        })
    }

    fn at(&self) -> String {
        format!("{}/{}", self.config.endpoint, self.config.repo)
    }

    /// A URL below the hub, each part of its path as it has to be written.
    fn url<'a>(&self, parts: impl Iterator<Item = &'a str>) -> Result<Url, OriginError> {
        let invalid = || OriginError::Invalid {
            what: format!(
                "huggingFace.endpoint {:?} is not the URL of a hub",
                self.config.endpoint
            ),
            remedy: "give one such as https://huggingface.co",
        };
        let mut url = Url::parse(&self.config.endpoint).map_err(|_| invalid())?;
        url.path_segments_mut()
            .map_err(|()| invalid())?
            .pop_if_empty()
            .extend(parts);
        Ok(url)
    }

    fn get(&self, url: &str) -> Result<reqwest::RequestBuilder, OriginError> {
        let request = self.outbound.download(url);
        let request = request.map_err(|source| OriginError::NotAllowed {
            at: self.at(),
            source,
        })?;
        // Redirects to another host, which is where files are, go without it.
        Ok(match &self.config.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        })
    }

    async fn files(&self) -> Result<Vec<RemoteFile>, OriginError> {
        let at = self.at();
        let HuggingFaceConfig {
            repo,
            revision,
            files: patterns,
            ..
        } = &self.config;
        let parts = ["api", "models"].into_iter().chain(repo.split('/'));
        let mut url = self.url(parts.chain(["revision", revision.as_str()]))?;
        url.set_query(Some("blobs=true"));
        let response = answer::send(&at, self.get(url.as_str())?).await?;
        let body = answer::read(&at, response).await?;
        let Revision { sha, siblings } = serde_json::from_slice(&body)
            .map_err(|error| OriginError::malformed(&at, error.to_string()))?;
        let is_commit = sha.len() >= 7 && sha.bytes().all(|digit| digit.is_ascii_hexdigit());
        if !is_commit {
            return Err(OriginError::malformed(&at, "the commit is none"));
        }
        let (wanted, others): (Vec<_>, Vec<_>) = siblings
            .into_iter()
            .partition(|file| self.wanted.is_match(&file.name));
        if wanted.is_empty() {
            let mut names: Vec<_> = others.into_iter().map(|file| file.name).collect();
            names.truncate(SHOWN);
            return Err(OriginError::NoFiles {
                at,
                wanted: patterns.join(", "),
                remedy: format!("it has {}", names.join(", ")),
            });
        }
        wanted
            .into_iter()
            .map(|file| self.file(file, &sha))
            .collect()
    }

    fn file(&self, file: Sibling, commit: &str) -> Result<RemoteFile, OriginError> {
        let Sibling { name, size, lfs } = file;
        if !file_name::is_safe(&name) {
            let what = format!("the name {name:?} is none of a file");
            return Err(OriginError::malformed(&self.at(), what));
        }
        let repo = self.config.repo.split('/');
        let parts = repo.chain(["resolve", commit]).chain(name.split('/'));
        let locator = self.url(parts)?.to_string();
        let (size, sha256) = match lfs {
            Some(lfs) => (lfs.size.or(size), lfs.sha256),
            None => (size, None),
        };
        Ok(RemoteFile {
            name,
            locator,
            version: commit.to_owned(),
            size,
            sha256: sha256.map(|sha256| sha256.to_ascii_lowercase()),
        })
    }
}

impl Origin for Hub {
    fn identity(&self) -> String {
        let HuggingFaceConfig {
            revision, files, ..
        } = &self.config;
        format!("{} at {revision}, files {}", self.at(), files.join(", "))
    }

    /// A whole commit is named by its forty digits.
    fn is_fixed(&self) -> bool {
        let revision = &self.config.revision;
        revision.len() == 40 && revision.bytes().all(|digit| digit.is_ascii_hexdigit())
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<RemoteFile>, OriginError>> {
        Box::pin(self.files())
    }

    fn request<'a>(
        &'a self,
        file: &'a RemoteFile,
    ) -> BoxFuture<'a, Result<reqwest::RequestBuilder, OriginError>> {
        Box::pin(std::future::ready(self.get(&file.locator)))
    }
}
