//! A file from the network, whole and checked, or not at all.

use std::path::{Path, PathBuf};

use claw_crds::outbound::Refusal;
use futures::StreamExt as _;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;

use crate::outbound::{Outbound, refusal_in};

/// So much stays free, in bytes: a download must not take the room that others keep their state in.
const RESERVE: u64 = 16 << 20;

/// Why a file was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It is where this gateway may not call.
    #[error("{url} may not be called")]
    NotAllowed {
        /// The address.
        url: String,
        /// What may not.
        source: Refusal,
    },
    /// No connection, or no answer.
    #[error("failed to reach {url}: check the address and the network")]
    Unreachable {
        /// The address.
        url: String,
        /// The cause.
        source: reqwest::Error,
    },
    /// An answer without the file.
    #[error("failed to download {url}: the server answered with status {status}")]
    Status {
        /// The address.
        url: String,
        /// The status.
        status: reqwest::StatusCode,
    },
    /// The connection broke.
    #[error("the download of {url} was cut off after {received} bytes")]
    Interrupted {
        /// The address.
        url: String,
        /// What had come.
        received: u64,
        /// The cause.
        source: reqwest::Error,
    },
    /// Not the file that was meant.
    #[error(
        "the file at {url} has sha256 {actual}, expected {expected}: correct `http.sha256` if the file is the right one"
    )]
    Checksum {
        /// The address.
        url: String,
        /// What was configured.
        expected: String,
        /// What came.
        actual: String,
    },
    /// More than there is room for.
    #[error(
        "{url} takes {needed} bytes, and {} has room for {available}: free some space, or give it more \
         (spec.storage.size of a ClawGateway)", folder.display()
    )]
    NoSpace {
        /// The address.
        url: String,
        /// What the server announced.
        needed: u64,
        /// What may be used.
        available: u64,
        /// Where.
        folder: PathBuf,
    },
    /// The file cannot be kept.
    #[error("failed to write {}", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

/// What to fetch.
#[derive(Clone, Copy, Debug)]
pub struct Download<'a> {
    /// The address.
    pub url: &'a str,
    /// What the file must have.
    pub sha256: &'a str,
    /// Where it goes. Nothing is there until the file is whole and right.
    pub target: &'a Path,
}

/// Fetch a file. `progress` hears the bytes received and, where the server tells, the bytes in all.
pub async fn fetch(
    outbound: &Outbound,
    download: Download<'_>,
    mut progress: impl FnMut(u64, Option<u64>),
) -> Result<(), FetchError> {
    let folder = download.target.parent().unwrap_or_else(|| Path::new("."));
    let written = |source| FetchError::Write {
        path: download.target.to_owned(),
        source,
    };
    tokio::fs::create_dir_all(folder).await.map_err(written)?;
    // Removed when dropped, whatever happens before it is whole.
    let temporary = tempfile::Builder::new()
        .prefix(".fetch-")
        .tempfile_in(folder)
        .map_err(written)?;
    let file = tokio::fs::File::from_std(temporary.reopen().map_err(written)?);
    let actual = receive(outbound, download, file, &mut progress).await?;
    if !actual.eq_ignore_ascii_case(download.sha256) {
        let (url, expected) = (without_secrets(download.url), download.sha256.to_owned());
        return Err(FetchError::Checksum {
            url,
            expected,
            actual,
        });
    }
    temporary
        .persist(download.target)
        .map_err(|error| written(error.error))?;
    Ok(())
}

async fn receive(
    outbound: &Outbound,
    download: Download<'_>,
    mut file: tokio::fs::File,
    progress: &mut impl FnMut(u64, Option<u64>),
) -> Result<String, FetchError> {
    let url = without_secrets(download.url);
    let written = |source| FetchError::Write {
        path: download.target.to_owned(),
        source,
    };
    let not_allowed = |source| FetchError::NotAllowed {
        url: url.clone(),
        source,
    };
    let request = outbound.download(download.url).map_err(not_allowed)?;
    let response = request.send().await.map_err(|source| {
        refusal_in(&source).cloned().map_or_else(
            || FetchError::Unreachable {
                url: url.clone(),
                source: source.without_url(),
            },
            not_allowed,
        )
    })?;
    if !response.status().is_success() {
        return Err(FetchError::Status {
            url,
            status: response.status(),
        });
    }
    let total = response.content_length();
    if let Some(needed) = total {
        // Where the system does not tell, writing does.
        let folder = download.target.parent().unwrap_or_else(|| Path::new("."));
        let available = free_space(folder).map_or(u64::MAX, |free| free.saturating_sub(RESERVE));
        if needed > available {
            return Err(FetchError::NoSpace {
                url,
                needed,
                available,
                folder: folder.to_owned(),
            });
        }
    }
    let mut received = 0;
    let mut digest = Sha256::new();
    let mut body = response.bytes_stream();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|source| FetchError::Interrupted {
            url: url.clone(),
            received,
            source: source.without_url(),
        })?;
        digest.update(&chunk);
        file.write_all(&chunk).await.map_err(written)?;
        received += chunk.len() as u64;
        progress(received, total);
    }
    // On the disk before the rename: a crash must not leave a file with the right name and holes.
    file.sync_all().await.map_err(written)?;
    Ok(hex::encode(digest.finalize()))
}

/// Bytes that we may still write there.
fn free_space(folder: &Path) -> Option<u64> {
    let system = rustix::fs::statvfs(folder).ok()?;
    Some(system.f_bavail.saturating_mul(system.f_frsize))
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
mod tests {
    use claw_crds::outbound::OutboundConfig;
    use tokio::io::AsyncReadExt as _;
    use wiremock::matchers::path;
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;

    const BODY: &[u8] = b"weights";

    async fn server() -> MockServer {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = MockServer::start().await;
        let moved = ResponseTemplate::new(302).insert_header("location", "/storage");
        Mock::given(path("/model"))
            .respond_with(moved)
            .mount(&server)
            .await;
        Mock::given(path("/storage"))
            .respond_with(ResponseTemplate::new(200).set_body_bytes(BODY))
            .mount(&server)
            .await;
        server
    }

    fn outbound() -> Outbound {
        Outbound::new(OutboundConfig::unrestricted()).expect("clients")
    }

    fn sha256() -> String {
        hex::encode(Sha256::digest(BODY))
    }

    #[tokio::test]
    async fn a_redirected_file_is_kept_when_it_is_the_right_one() {
        let (server, folder) = (server().await, tempfile::tempdir().expect("a folder"));
        let target = folder.path().join("deep/model.gguf");
        let mut last = (0, None);
        let url = format!("{}/model", server.uri());
        let download = Download {
            url: &url,
            sha256: &sha256(),
            target: &target,
        };
        fetch(&outbound(), download, |done, total| last = (done, total))
            .await
            .expect("fetched");
        assert_eq!(std::fs::read(&target).expect("a file"), BODY);
        assert_eq!(last, (7, Some(7)));
    }

    #[tokio::test]
    async fn a_wrong_checksum_leaves_nothing_and_names_both() {
        let (server, folder) = (server().await, tempfile::tempdir().expect("a folder"));
        let target = folder.path().join("model.gguf");
        let (url, expected) = (
            format!("{}/model?signature=hunter2", server.uri()),
            "0".repeat(64),
        );
        let error = fetch(
            &outbound(),
            Download {
                url: &url,
                sha256: &expected,
                target: &target,
            },
            |_, _| (),
        )
        .await
        .expect_err("another file");
        let text = error.to_string();
        assert!(
            text.contains(&expected) && text.contains(&sha256()) && !text.contains("hunter2"),
            "{text}"
        );
        assert_eq!(
            std::fs::read_dir(folder.path()).expect("a folder").count(),
            0
        );
    }

    #[tokio::test]
    async fn a_file_that_has_no_room_is_not_even_begun() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let url = format!("http://{}/model", listener.local_addr().expect("bound"));
        let mut server = tokio::task::JoinSet::new();
        server.spawn(async move {
            let (mut connection, _) = listener.accept().await.expect("a client");
            let asked = connection.read(&mut [0; 1024]).await;
            asked.expect("a request");
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 1_u64 << 60);
            connection
                .write_all(head.as_bytes())
                .await
                .expect("written");
            // Open until the test is over.
            std::future::pending::<()>().await;
        });
        let folder = tempfile::tempdir().expect("a folder");
        let download = Download {
            url: &url,
            sha256: &sha256(),
            target: &folder.path().join("model.gguf"),
        };
        let error = fetch(&outbound(), download, |_, _| ())
            .await
            .expect_err("too large");
        let text = error.to_string();
        assert!(text.contains("1152921504606846976 bytes"), "{text}");
        assert!(text.contains("spec.storage.size"), "{text}");
        let left = std::fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(left, 0);
    }

    #[tokio::test]
    async fn a_missing_file_is_told_with_its_status() {
        let (server, folder) = (server().await, tempfile::tempdir().expect("a folder"));
        let url = format!("{}/gone", server.uri());
        let download = Download {
            url: &url,
            sha256: &sha256(),
            target: &folder.path().join("x"),
        };
        let error = fetch(&outbound(), download, |_, _| ())
            .await
            .expect_err("no such file");
        assert!(error.to_string().contains("404"), "{error}");
    }
}
