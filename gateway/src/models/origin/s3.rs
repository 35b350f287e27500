//! Objects of a bucket, by signed URLs over the guarded way out.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use claw_crds::gateway_config::{ObjectsConfig, S3Config};
use futures::future::BoxFuture;
use http::{HeaderMap, Method};
use rusty_s3::actions::{GetObject, HeadObject, ListObjectsV2, S3Action as _};
use rusty_s3::{Bucket, Credentials, UrlStyle};

use super::{Origin, OriginError, RemoteFile, answer, file_name};
use crate::outbound::Outbound;

/// How long a signature is good for. A request is sent at once; its body may take longer.
const VALID: Duration = Duration::from_mins(15);
/// A model of more files is none.
const MOST_FILES: usize = 1000;
const CHECKSUM: &str = "x-amz-checksum-sha256";
const CHECKSUM_MODE: (&str, &str) = ("x-amz-checksum-mode", "ENABLED");

/// A bucket, and what of it.
pub(super) struct BucketOrigin {
    outbound: Outbound,
    config: S3Config,
    bucket: Bucket,
    credentials: Option<Credentials>,
}

impl BucketOrigin {
    pub(super) fn new(outbound: Outbound, config: S3Config) -> Result<Self, OriginError> {
        let invalid = |_| OriginError::Invalid {
            what: format!("the bucket {:?} cannot be addressed", config.bucket),
            remedy: "check bucket and endpoint of the source",
        };
        let style = if config.path_style {
            UrlStyle::Path
        } else {
            UrlStyle::VirtualHost
        };
        let endpoint = config.endpoint.parse().map_err(|_| OriginError::Invalid {
            what: format!("the endpoint {:?} is not a URL", config.endpoint),
            remedy: "give one such as https://minio.storage.svc:9000",
        })?;
        let (name, region) = (config.bucket.clone(), config.region.clone());
        let bucket = Bucket::new(endpoint, style, name, region).map_err(invalid)?;
        let credentials = config
            .credentials
            .as_ref()
            .map(|(id, key)| Credentials::new(id.expose(), key.expose()));
        Ok(Self {
            outbound,
            config,
            bucket,
            credentials,
        })
    }

    fn at(&self) -> String {
        format!("s3://{}", self.config.bucket)
    }

    fn call(&self, method: Method, url: &str) -> Result<reqwest::RequestBuilder, OriginError> {
        self.outbound
            .request(method, url)
            .map_err(|source| OriginError::NotAllowed {
                at: self.at(),
                source,
            })
    }

    async fn files(&self) -> Result<Vec<RemoteFile>, OriginError> {
        match &self.config.objects {
            ObjectsConfig::Key { key, sha256 } => {
                let name = key.rsplit('/').next().unwrap_or(key);
                Ok(vec![self.object(key, name, sha256.as_deref()).await?])
            }
            ObjectsConfig::Prefix(prefix) => {
                let folder = format!("{prefix}/");
                let mut files = Vec::new();
                for key in self.keys(&folder).await? {
                    let name = key.strip_prefix(&folder).unwrap_or_default();
                    // Some tools put an empty object for the folder itself.
                    if !name.is_empty() && !name.ends_with('/') {
                        files.push(self.object(&key, name, None).await?);
                    }
                }
                if files.is_empty() {
                    return Err(OriginError::NoFiles {
                        at: self.at(),
                        wanted: folder,
                        remedy: "check prefix".to_owned(),
                    });
                }
                Ok(files)
            }
        }
    }

    async fn keys(&self, folder: &str) -> Result<Vec<String>, OriginError> {
        let at = self.at();
        let mut keys = Vec::new();
        let mut next = None;
        loop {
            let mut action = ListObjectsV2::new(&self.bucket, self.credentials.as_ref());
            action.with_prefix(folder);
            if let Some(token) = next.take() {
                let token: String = token;
                action.with_continuation_token(token);
            }
            let request = self.call(Method::GET, action.sign(VALID).as_str())?;
            let body = answer::read(&at, answer::send(&at, request).await?).await?;
            let malformed = || OriginError::malformed(&at, "it is no list of objects");
            let text = String::from_utf8(body).map_err(|_| malformed())?;
            let list = ListObjectsV2::parse_response(&text).map_err(|_| malformed())?;
            keys.extend(list.contents.into_iter().map(|object| object.key));
            if keys.len() > MOST_FILES {
                return Err(OriginError::NoFiles {
                    at,
                    wanted: folder.to_owned(),
                    remedy: format!(
                        "it has more than {MOST_FILES} objects; give the folder of one model"
                    ),
                });
            }
            next = list.next_continuation_token;
            if next.is_none() {
                return Ok(keys);
            }
        }
    }

    /// What the storage says of an object.
    async fn object(
        &self,
        key: &str,
        name: &str,
        sha256: Option<&str>,
    ) -> Result<RemoteFile, OriginError> {
        let at = format!("{}/{key}", self.at());
        if !file_name::is_safe(name) {
            let what = format!("the name {name:?} is none of a file");
            return Err(OriginError::malformed(&at, what));
        }
        let mut action = HeadObject::new(&self.bucket, self.credentials.as_ref(), key);
        action
            .headers_mut()
            .insert(CHECKSUM_MODE.0, CHECKSUM_MODE.1);
        let request = self.call(Method::HEAD, action.sign(VALID).as_str())?;
        let request = request.header(CHECKSUM_MODE.0, CHECKSUM_MODE.1);
        let response = answer::send(&at, request).await?;
        if !response.status().is_success() {
            return Err(answer::refused(&at, response.status()));
        }
        let headers = response.headers();
        let version = header(headers, "etag").unwrap_or_default();
        Ok(RemoteFile {
            name: name.to_owned(),
            locator: key.to_owned(),
            size: header(headers, "content-length").and_then(|length| length.parse().ok()),
            sha256: sha256
                .map(str::to_ascii_lowercase)
                .or_else(|| checksum(headers)),
            version,
        })
    }
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

/// Of the whole object; what is composed of its parts' checksums has a dash in it.
fn checksum(headers: &HeaderMap) -> Option<String> {
    let digest = BASE64.decode(headers.get(CHECKSUM)?.as_bytes()).ok()?;
    (digest.len() == 32).then(|| hex::encode(digest))
}

impl Origin for BucketOrigin {
    fn identity(&self) -> String {
        let S3Config {
            bucket,
            objects,
            endpoint,
            ..
        } = &self.config;
        match objects {
            ObjectsConfig::Key { key, sha256 } => {
                let sha256 = sha256.as_deref().unwrap_or("any");
                format!("s3://{bucket}/{key} at {endpoint} with SHA-256 {sha256}")
            }
            ObjectsConfig::Prefix(prefix) => format!("s3://{bucket}/{prefix}/ at {endpoint}"),
        }
    }

    fn is_fixed(&self) -> bool {
        matches!(
            &self.config.objects,
            ObjectsConfig::Key {
                sha256: Some(_),
                ..
            }
        )
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<RemoteFile>, OriginError>> {
        Box::pin(self.files())
    }

    fn request<'a>(
        &'a self,
        file: &'a RemoteFile,
    ) -> BoxFuture<'a, Result<reqwest::RequestBuilder, OriginError>> {
        let action = GetObject::new(&self.bucket, self.credentials.as_ref(), &file.locator);
        let request = self.outbound.download(action.sign(VALID).as_str());
        let request = request.map_err(|source| OriginError::NotAllowed {
            at: self.at(),
            source,
        });
        Box::pin(std::future::ready(request))
    }
}
