//! A file on its way: what has come, its digest so far, and which version it is of.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

use super::{FetchError, Fetched, RESERVE};

/// Bytes read at a time.
const PART: usize = 1 << 20;

/// The beginning of a file.
pub(super) struct Partial {
    path: PathBuf,
    file: File,
    received: u64,
    digest: Sha256,
    /// The `ETag` under which it came.
    tag: Option<String>,
}

impl Partial {
    /// What is there, or nothing yet.
    pub(super) async fn open(path: &Path) -> Result<Self, FetchError> {
        let path = path.to_owned();
        let opened = async {
            let mut options = File::options();
            let options = options.read(true).write(true).create(true).truncate(false);
            let mut file = options.open(&path).await?;
            let mut digest = Sha256::new();
            let mut received = 0;
            let mut part = vec![0; PART];
            loop {
                let read = file.read(&mut part).await?;
                if read == 0 {
                    break;
                }
                digest.update(&part[..read]);
                received += read as u64;
            }
            let tag = tokio::fs::read_to_string(tag_path(&path)).await.ok();
            Ok((file, digest, received, tag))
        };
        let (file, digest, received, tag) =
            opened.await.map_err(|source| written(&path, source))?;
        Ok(Self {
            path,
            file,
            received,
            digest,
            tag,
        })
    }

    pub(super) fn received(&self) -> u64 {
        self.received
    }

    pub(super) fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Remember under which `ETag` it comes.
    pub(super) async fn set_tag(&mut self, tag: Option<&str>) -> Result<(), FetchError> {
        let path = tag_path(&self.path);
        let outcome = match tag {
            Some(tag) => tokio::fs::write(&path, tag).await,
            None => match tokio::fs::remove_file(&path).await {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
                outcome => outcome,
            },
        };
        outcome.map_err(|source| written(&path, source))?;
        self.tag = tag.map(str::to_owned);
        Ok(())
    }

    /// Forget what has come.
    pub(super) async fn start_over(&mut self) -> Result<(), FetchError> {
        let emptied = async {
            self.file.flush().await?;
            self.file.set_len(0).await?;
            self.file.rewind().await?;
            Ok(())
        };
        emptied
            .await
            .map_err(|source| written(&self.path, source))?;
        self.received = 0;
        self.digest = Sha256::new();
        Ok(())
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        self.file
            .write_all(bytes)
            .await
            .map_err(|source| written(&self.path, source))?;
        self.digest.update(bytes);
        self.received += bytes.len() as u64;
        Ok(())
    }

    pub(super) async fn flush(&mut self) -> Result<(), FetchError> {
        self.file
            .flush()
            .await
            .map_err(|source| written(&self.path, source))
    }

    /// Whether the rest of `total` bytes fits on the disk. Where the system does not tell, writing does.
    pub(super) fn check_room(&self, file: &str, total: u64) -> Result<(), FetchError> {
        let folder = self.path.parent().unwrap_or_else(|| Path::new("."));
        let needed = total.saturating_sub(self.received);
        let available = free_space(folder).map_or(u64::MAX, |free| free.saturating_sub(RESERVE));
        if needed <= available {
            return Ok(());
        }
        Err(FetchError::NoSpace {
            file: file.to_owned(),
            needed,
            available,
            folder: folder.to_owned(),
        })
    }

    /// It is whole.
    pub(super) async fn close(mut self) -> Result<Fetched, FetchError> {
        let synced = async {
            self.file.flush().await?;
            // On the disk before it gets its name: a crash must not leave a file with the right name and holes.
            self.file.sync_all().await
        };
        synced.await.map_err(|source| written(&self.path, source))?;
        // Nothing to continue any more.
        let _ = tokio::fs::remove_file(tag_path(&self.path)).await;
        Ok(Fetched {
            sha256: hex::encode(self.digest.finalize()),
            size: self.received,
        })
    }
}

/// Forget a file that is not what was meant.
pub(super) async fn remove(path: &Path) {
    // Should it stay, it is found out again.
    let _ = tokio::fs::remove_file(path).await;
    let _ = tokio::fs::remove_file(tag_path(path)).await;
}

fn tag_path(path: &Path) -> PathBuf {
    path.with_extension("etag")
}

fn written(path: &Path, source: std::io::Error) -> FetchError {
    FetchError::Write {
        path: path.to_owned(),
        source,
    }
}

/// Bytes that we may still write there.
pub(in crate::models) fn free_space(folder: &Path) -> Option<u64> {
    let system = rustix::fs::statvfs(folder).ok()?;
    Some(system.f_bavail.saturating_mul(system.f_frsize))
}
