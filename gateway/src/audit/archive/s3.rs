//! Object storage that speaks S3: objects are put and read back, by signed URLs over the guarded way out.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use claw_crds::gateway_config::AuditArchiveConfig;
use futures::stream;
use http::Method;
use http::header::CONTENT_LENGTH;
use rusty_s3::actions::{GetObject, PutObject, S3Action as _};
use rusty_s3::{Bucket, Credentials, UrlStyle};
use sha2::{Digest as _, Sha256};

use crate::config::chain;
use crate::outbound::{ClientTlsError, Outbound, OwnClient};

const CHECKSUM: &str = "x-amz-checksum-sha256";
/// How long a signature is good for, and how long an upload may take.
const VALID: Duration = Duration::from_mins(15);
/// Bytes read at a time.
const PART: usize = 256 << 10;
/// Error bodies are short; more is not read.
const ERROR_BYTES: usize = 16 << 10;

/// A bucket.
pub(in crate::audit) struct Storage {
    bucket: Bucket,
    credentials: Credentials,
    prefix: String,
    client: OwnClient,
}

/// Why an object is not in the archive. No secret, and no signature.
#[derive(Debug, thiserror::Error)]
pub(in crate::audit) enum StorageError {
    /// Of the configuration.
    #[error("the bucket {0:?} cannot be addressed; check spec.audit.archive")]
    Bucket(String),
    /// Of TLS.
    #[error(transparent)]
    Tls(#[from] ClientTlsError),
    /// No connection, or none any more.
    #[error("{0}")]
    Unreachable(String),
    /// It said no.
    #[error("the object storage answered {status}{code}")]
    Refused {
        /// Of HTTP.
        status: u16,
        /// What it calls the error, with a colon before.
        code: String,
    },
    /// What it has is something else.
    #[error("the object storage has something else at {0} than was sent")]
    Different(String),
    /// Of the segment.
    #[error("the segment cannot be read: {0}")]
    Io(#[from] io::Error),
}

impl StorageError {
    /// Whether the same will be said again for a while.
    pub(super) fn is_lasting(&self) -> bool {
        match self {
            Self::Refused { status, .. } => {
                (400..500).contains(status) && !matches!(status, 408 | 429)
            }
            Self::Bucket(_) | Self::Tls(_) | Self::Different(_) | Self::Io(_) => true,
            Self::Unreachable(_) => false,
        }
    }
}

/// What is put.
enum Content<'a> {
    /// So many bytes of it.
    File(&'a Path, u64),
    Bytes(&'a [u8]),
}

impl Storage {
    pub(in crate::audit) fn new(
        config: &AuditArchiveConfig,
        outbound: &Outbound,
    ) -> Result<Self, StorageError> {
        let AuditArchiveConfig {
            bucket,
            prefix,
            region,
            endpoint,
            path_style,
            access_key_id,
            secret_access_key,
            tls,
        } = config;
        let invalid = || StorageError::Bucket(bucket.clone());
        let style = if *path_style {
            UrlStyle::Path
        } else {
            UrlStyle::VirtualHost
        };
        let endpoint = endpoint.parse().map_err(|_| invalid())?;
        Ok(Self {
            bucket: Bucket::new(endpoint, style, bucket.clone(), region.clone())
                .map_err(|_| invalid())?,
            credentials: Credentials::new(access_key_id.expose(), secret_access_key.expose()),
            prefix: prefix.trim_matches('/').to_owned(),
            client: OwnClient::new(outbound, tls)?,
        })
    }

    /// Where it is, without what opens it.
    pub(super) fn place(&self) -> String {
        format!("{}{}", self.bucket.base_url(), self.prefix)
    }

    /// Put the first bytes of a file, and make sure that they are there.
    pub(in crate::audit) async fn put_file(
        &mut self,
        name: &str,
        file: &Path,
        bytes: u64,
    ) -> Result<(), StorageError> {
        self.put(name, Content::File(file, bytes)).await
    }

    /// Put a few bytes, and make sure that they are there.
    pub(in crate::audit) async fn put_bytes(
        &mut self,
        name: &str,
        bytes: &[u8],
    ) -> Result<(), StorageError> {
        self.put(name, Content::Bytes(bytes)).await
    }

    async fn put(&mut self, name: &str, content: Content<'_>) -> Result<(), StorageError> {
        let object = if self.prefix.is_empty() {
            name.to_owned()
        } else {
            format!("{}/{name}", self.prefix)
        };
        let (digest, length, body) = match content {
            Content::File(path, bytes) => {
                let (digest, length) = hash(path, bytes)?;
                (digest, length, stream_of(File::open(path)?, length))
            }
            Content::Bytes(bytes) => (
                Sha256::digest(bytes).into(),
                bytes.len() as u64,
                bytes.to_vec().into(),
            ),
        };
        let checksum = BASE64.encode(digest);
        let mut action = PutObject::new(&self.bucket, Some(&self.credentials), &object);
        // Signed with the rest, so that the server checks it.
        action.headers_mut().insert(CHECKSUM, checksum.clone());
        let url = action.sign(VALID);
        let request = self
            .client
            .request(Method::PUT, url.as_str())
            .map_err(|error| StorageError::Unreachable(chain(&error)))?;
        let response = request
            .timeout(VALID)
            .header(CHECKSUM, &checksum)
            .header(CONTENT_LENGTH, length)
            .body(body)
            .send()
            .await
            .map_err(unreachable)?;
        let response = accepted(response).await?;
        match response.headers().get(CHECKSUM) {
            Some(told) if told.as_bytes() == checksum.as_bytes() => Ok(()),
            Some(_) => Err(StorageError::Different(object)),
            // Not every server knows the header.
            None => self.read_back(&object, digest).await,
        }
    }

    async fn read_back(&mut self, object: &str, expected: [u8; 32]) -> Result<(), StorageError> {
        let url = GetObject::new(&self.bucket, Some(&self.credentials), object).sign(VALID);
        let request = self
            .client
            .request(Method::GET, url.as_str())
            .map_err(|error| StorageError::Unreachable(chain(&error)))?;
        let response = request.timeout(VALID).send().await.map_err(unreachable)?;
        let mut response = accepted(response).await?;
        let mut hash = Sha256::new();
        while let Some(part) = response.chunk().await.map_err(unreachable)? {
            hash.update(&part);
        }
        if <[u8; 32]>::from(hash.finalize()) == expected {
            Ok(())
        } else {
            Err(StorageError::Different(object.to_owned()))
        }
    }
}

/// URLs carry signatures.
fn unreachable(error: reqwest::Error) -> StorageError {
    StorageError::Unreachable(chain(&error.without_url()))
}

async fn accepted(mut response: reqwest::Response) -> Result<reqwest::Response, StorageError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let mut body = Vec::new();
    while body.len() < ERROR_BYTES
        && let Ok(Some(part)) = response.chunk().await
    {
        body.extend(part);
    }
    Err(StorageError::Refused {
        status: status.as_u16(),
        code: code(&body).map_or_else(String::new, |code| format!(": {code}")),
    })
}

/// The `Code` of an error, e.g. `AccessDenied`; nothing else of it, since messages may repeat what was sent.
fn code(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?;
    let (code, _) = text.split_once("<Code>")?.1.split_once("</Code>")?;
    (code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(code)
}

fn hash(path: &Path, bytes: u64) -> io::Result<([u8; 32], u64)> {
    let mut file = File::open(path)?.take(bytes);
    let mut hash = Sha256::new();
    let length = io::copy(&mut file, &mut HashWriter(&mut hash))?;
    Ok((hash.finalize().into(), length))
}

struct HashWriter<'a>(&'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Part by part, so that a segment is never in memory as a whole.
fn stream_of(file: File, length: u64) -> reqwest::Body {
    let parts = stream::try_unfold(file.take(length), async |mut file| {
        let mut part = Vec::with_capacity(PART);
        let read = file.by_ref().take(PART as u64).read_to_end(&mut part)?;
        io::Result::Ok((read > 0).then(|| (Bytes::from(part), file)))
    });
    reqwest::Body::wrap_stream(parts)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;

    use axum::Router;
    use axum::error_handling::HandleError;
    use claw_crds::gateway_config::{ClientTlsConfig, Redacted};
    use claw_crds::outbound::OutboundConfig;
    use futures::future::BoxFuture;
    use http::StatusCode;
    use s3s::auth::SimpleAuth;
    use s3s::host::SingleDomain;
    use s3s::service::S3ServiceBuilder;
    use tokio::task::JoinSet;

    use super::*;
    use crate::outbound::Lookup;

    /// Only the name with the bucket leads somewhere.
    struct BucketHost;

    impl Lookup for BucketHost {
        fn lookup(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
            Box::pin(async move {
                if host == "audit.storage.test" {
                    Ok(vec![IpAddr::from([127, 0, 0, 1])])
                } else {
                    Err(io::Error::other(host))
                }
            })
        }
    }

    #[tokio::test]
    async fn a_bucket_may_be_part_of_the_host() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("audit")).expect("a bucket");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let files = s3s_fs::FileSystem::new(folder.path()).expect("a file system");
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single("id", "key"));
        builder.set_host(SingleDomain::new(&format!("storage.test:{port}")).expect("a domain"));
        let service =
            HandleError::new(builder.build(), async |_| StatusCode::INTERNAL_SERVER_ERROR);
        let app = Router::new().fallback_service(service);
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, app).await.expect("serves") });
        let config = AuditArchiveConfig {
            bucket: "audit".into(),
            prefix: "desk".into(),
            region: "us-east-1".into(),
            endpoint: format!("http://storage.test:{port}"),
            path_style: false,
            access_key_id: Redacted::new("id"),
            secret_access_key: Redacted::new("key"),
            tls: ClientTlsConfig::default(),
        };
        let outbound = Outbound::with_lookup(OutboundConfig::unrestricted(), Arc::new(BucketHost));
        let mut storage = Storage::new(&config, &outbound.expect("clients")).expect("a bucket");
        storage.put_bytes("x/y", b"hello").await.expect("put");
        let put = std::fs::read(folder.path().join("audit/desk/x/y"));
        assert_eq!(put.expect("there"), b"hello");
    }

    #[test]
    fn only_the_name_of_an_error_is_told() {
        let body =
            b"<Error><Code>SignatureDoesNotMatch</Code><StringToSign>x</StringToSign></Error>";
        assert_eq!(code(body), Some("SignatureDoesNotMatch"));
        assert_eq!(code(b"<Code>a b</Code>"), None);
        assert_eq!(code(b"oops"), None);
    }
}
