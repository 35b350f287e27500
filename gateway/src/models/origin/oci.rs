//! An artifact of a container registry, by the OCI distribution protocol: the manifest lists layers with their digests,
//! each of which is a file.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/main/spec.md>. Spoken here rather than by a client library,
//! since those bring an HTTP client of their own, which would go past the guard of [`Outbound`].

mod challenge;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use claw_crds::gateway_config::{OciConfig, Redacted};
use futures::future::BoxFuture;
use http::header::{ACCEPT, AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, StatusCode};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use url::Url;

use super::{Origin, OriginError, RemoteFile, answer, file_name};
use crate::outbound::Outbound;
use challenge::Challenge;

/// What manifests are asked for as.
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";
/// The name of a layer, as `oras` writes it.
const TITLE: &str = "org.opencontainers.image.title";
/// The same of the CNCF's model specification.
const MODEL_PATH: &str = "org.cncf.model.filepath";
/// A token is used for this long, whatever it says: no registry gives one for less.
const TOKEN_LIFE: Duration = Duration::from_secs(45);

/// An artifact.
pub(super) struct Registry {
    outbound: Outbound,
    config: OciConfig,
    /// What requests carry, and since when.
    authorization: Mutex<Option<(Redacted, Instant)>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    #[serde(default)]
    layers: Vec<Layer>,
    /// Of an index of several.
    #[serde(default)]
    manifests: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Token {
    #[serde(alias = "access_token")]
    token: String,
}

impl Registry {
    pub(super) fn new(outbound: Outbound, config: OciConfig) -> Self {
        Self {
            outbound,
            config,
            authorization: Mutex::default(),
        }
    }

    fn at(&self) -> String {
        format!("{}/{}", self.config.registry, self.config.repository)
    }

    fn url(&self, kind: &str, reference: &str) -> String {
        let OciConfig {
            registry,
            repository,
            ..
        } = &self.config;
        format!("{registry}/v2/{repository}/{kind}/{reference}")
    }

    async fn files(&self) -> Result<Vec<RemoteFile>, OriginError> {
        let at = self.at();
        let reference = &self.config.reference;
        let url = self.url("manifests", reference);
        let response = self
            .authorized(|| Ok(self.get(&url)?.header(ACCEPT, MANIFESTS)))
            .await?;
        let body = answer::read(&at, response).await?;
        if let Some(expected) = reference.strip_prefix("sha256:") {
            let actual = hex::encode(Sha256::digest(&body));
            if actual != expected {
                let what =
                    format!("the manifest has SHA-256 {actual}, and {expected} was asked for");
                return Err(OriginError::malformed(&at, what));
            }
        }
        let manifest: Manifest = serde_json::from_slice(&body)
            .map_err(|error| OriginError::malformed(&at, error.to_string()))?;
        if !manifest.manifests.is_empty() {
            let what = "it is an index of several images; refer to the manifest of one artifact";
            return Err(OriginError::malformed(&at, what));
        }
        if manifest.layers.is_empty() {
            return Err(OriginError::NoFiles {
                at,
                wanted: reference.clone(),
                remedy: "its manifest has no layers; push files with `oras push`".to_owned(),
            });
        }
        let only = manifest.layers.len() == 1;
        manifest
            .layers
            .into_iter()
            .map(|layer| file(&at, layer, only))
            .collect()
    }

    fn get(&self, url: &str) -> Result<reqwest::RequestBuilder, OriginError> {
        let request = self.outbound.download(url);
        request.map_err(|source| OriginError::NotAllowed {
            at: self.at(),
            source,
        })
    }

    /// What is known to be wanted of us.
    fn known(&self) -> Option<Redacted> {
        let known = self
            .authorization
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (value, since) = known.as_ref()?;
        (since.elapsed() < TOKEN_LIFE).then(|| value.clone())
    }

    /// The answer to a request, with the credential that the registry asks for.
    async fn authorized(
        &self,
        request: impl Fn() -> Result<reqwest::RequestBuilder, OriginError>,
    ) -> Result<reqwest::Response, OriginError> {
        let at = self.at();
        let response = answer::send(&at, with(request()?, self.known().as_ref())?).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let challenge = response
            .headers()
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .find_map(|value| Challenge::parse(value.to_str().ok()?));
        let Some(challenge) = challenge else {
            return Ok(response);
        };
        let Some(authorization) = self.answer_to(challenge).await? else {
            return Ok(response);
        };
        let answer = answer::send(&at, with(request()?, Some(&authorization))?).await?;
        let mut known = self
            .authorization
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *known = Some((authorization, Instant::now()));
        Ok(answer)
    }

    /// What to send; nothing where the registry wants a credential and there is none.
    async fn answer_to(&self, challenge: Challenge) -> Result<Option<Redacted>, OriginError> {
        let basic = self.config.credentials.as_ref().map(|(user, password)| {
            let pair = format!("{}:{}", user.expose(), password.expose());
            let encoded = BASE64.encode(pair);
            Redacted::new(format!("Basic {encoded}"))
        });
        match challenge {
            Challenge::Basic => Ok(basic),
            Challenge::Bearer { realm, service } => {
                let mut url = Url::parse(&realm).map_err(|_| {
                    OriginError::malformed(&self.at(), "where it sends for tokens is no URL")
                })?;
                // The password goes there, so not in the clear where the registry itself is not.
                if self.config.registry.starts_with("https:") && url.scheme() != "https" {
                    let what = "it sends for tokens over HTTP without TLS";
                    return Err(OriginError::malformed(&self.at(), what));
                }
                let scope = format!("repository:{}:pull", self.config.repository);
                url.query_pairs_mut().append_pair("scope", &scope);
                if let Some(service) = service {
                    url.query_pairs_mut().append_pair("service", &service);
                }
                let at = super::without_secrets(url.as_str());
                // As an API: with a password, no redirect is followed.
                let request =
                    self.outbound
                        .request(Method::GET, url.as_str())
                        .map_err(|source| OriginError::NotAllowed {
                            at: at.clone(),
                            source,
                        })?;
                let response = answer::send(&at, with(request, basic.as_ref())?).await?;
                let body = answer::read(&at, response).await?;
                // What serde says could repeat the token.
                let Token { token } = serde_json::from_slice(&body)
                    .map_err(|_| OriginError::malformed(&at, "it is no token"))?;
                Ok(Some(Redacted::new(format!("Bearer {token}"))))
            }
        }
    }
}

fn with(
    request: reqwest::RequestBuilder,
    authorization: Option<&Redacted>,
) -> Result<reqwest::RequestBuilder, OriginError> {
    let Some(authorization) = authorization else {
        return Ok(request);
    };
    let mut value =
        HeaderValue::from_str(authorization.expose()).map_err(|_| OriginError::Invalid {
            what: "the registry's credential holds characters that cannot be sent".to_owned(),
            remedy: "store a plain one",
        })?;
    value.set_sensitive(true);
    Ok(request.header(AUTHORIZATION, value))
}

fn file(at: &str, layer: Layer, is_only: bool) -> Result<RemoteFile, OriginError> {
    let Layer {
        media_type,
        digest,
        size,
        annotations,
    } = layer;
    let sha256 = digest
        .strip_prefix("sha256:")
        .filter(|hex| hex.len() == 64 && hex.bytes().all(|digit| digit.is_ascii_hexdigit()))
        .ok_or_else(|| OriginError::malformed(at, "a digest of a layer is none of SHA-256"))?
        .to_ascii_lowercase();
    let named = [TITLE, MODEL_PATH]
        .iter()
        .find_map(|key| annotations.get(*key));
    let name = match named {
        Some(name) => name.clone(),
        None if is_only || media_type.contains("gguf") => "model.gguf".to_owned(),
        None => {
            let what = format!("a layer has no annotation {TITLE}; push files with `oras push`");
            return Err(OriginError::malformed(at, what));
        }
    };
    if media_type.contains("tar") || !file_name::is_safe(&name) {
        let what = format!(
            "the layer {name:?} ({media_type}) is no single file; push files with `oras push`"
        );
        return Err(OriginError::malformed(at, what));
    }
    Ok(RemoteFile {
        name,
        locator: digest,
        version: String::new(),
        size: Some(size),
        sha256: Some(sha256),
    })
}

impl Origin for Registry {
    fn identity(&self) -> String {
        format!("{}:{}", self.at(), self.config.reference)
    }

    fn is_fixed(&self) -> bool {
        self.config.reference.starts_with("sha256:")
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<RemoteFile>, OriginError>> {
        Box::pin(self.files())
    }

    fn request<'a>(
        &'a self,
        file: &'a RemoteFile,
    ) -> BoxFuture<'a, Result<reqwest::RequestBuilder, OriginError>> {
        Box::pin(async move {
            let url = self.url("blobs", &file.locator);
            // A token may be too old by now: a look at the blob gets a new one where that is so.
            if self.known().is_none() {
                let at = self.at();
                let head = || {
                    self.outbound.request(Method::HEAD, &url).map_err(|source| {
                        OriginError::NotAllowed {
                            at: at.clone(),
                            source,
                        }
                    })
                };
                self.authorized(head).await?;
            }
            with(self.get(&url)?, self.known().as_ref())
        })
    }
}
