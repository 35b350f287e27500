//! Fetched files, kept by what is in them, below the state directory.
//!
//! ```text
//! model-cache/partial/<key>.part       on its way, with `.etag` beside it and `.lock` for whoever fetches it
//! model-cache/blobs/<sha256>           a whole file
//! model-cache/names/<key>              the SHA-256 of a file whose origin does not tell it
//! model-cache/snapshots/<sha256>/…     the files of one model under their names: hard links to blobs
//! model-cache/records/<key>.json       which files a source had when it was asked last
//! models/<what is in it>/              imports
//! ```
//!
//! Processes share it: locks of the file system say who fetches what, and what is in use. Nothing has its final name
//! before it is whole.

mod eviction;
mod held;
mod layout;
mod lock;
mod pace;
mod record;
mod snapshot;

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::fetch::{FetchError, fetch};
use super::origin::{Origin, RemoteFile};
pub use eviction::Usage;
pub use held::Held;
use layout::Layout;
use pace::Pace;
pub use record::{Contents, FileEntry};

/// Why files are not there.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// They did not come.
    #[error("failed to fetch the model")]
    Fetch(#[from] FetchError),
    /// They may not come.
    #[error(
        "{source_name} is not in the cache, and this gateway is offline: let it fetch once \
         (spec.modelPool.offline, --offline), or copy a filled state directory"
    )]
    Offline {
        /// Where they would come from.
        source_name: String,
    },
    /// There is no room for them.
    #[error(
        "the model takes {needed} bytes, and the cache may hold {budget}, of which {in_use} are of models in use: raise \
         spec.modelPool.disk (--model-disk), or remove a model"
    )]
    Budget {
        /// What is to come.
        needed: u64,
        /// What there may be.
        budget: u64,
        /// What cannot go.
        in_use: u64,
    },
    /// They cannot be kept.
    #[error(
        "failed to use {}: make it writable, or choose another state directory with --state-dir", path.display()
    )]
    Disk {
        /// Where.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// How far fetching is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that are there.
    pub done: u64,
    /// Bytes in all, where all origins tell.
    pub total: Option<u64>,
    /// Bytes a second, once known.
    pub rate: Option<u64>,
}

impl Progress {
    /// Seconds until the rest is there.
    pub fn seconds_left(&self) -> Option<u64> {
        let left = self.total?.saturating_sub(self.done);
        left.checked_div(self.rate?)
    }
}

/// The cache of one state directory; cheap to clone.
#[derive(Clone)]
pub struct Cache {
    layout: Arc<Layout>,
}

/// What may be done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// The most bytes.
    pub budget: Option<u64>,
    /// Whether nothing may be fetched.
    pub offline: bool,
}

/// Files of a model.
pub struct Obtained {
    /// Which they are.
    pub contents: Contents,
    /// The folder with them, which stays while this is held; absent where something made of them replaces them.
    pub folder: Option<(PathBuf, Held)>,
}

impl Cache {
    /// The cache below a state directory.
    pub fn new(state_dir: &Path) -> Self {
        Self {
            layout: Arc::new(Layout::new(state_dir)),
        }
    }

    /// The files of an origin: from here, or else from there. Where `is_replaced` says so of what they are, they are not
    /// needed.
    ///
    /// Of two that want the same, one fetches and the other waits, also in two processes.
    pub async fn obtain(
        &self,
        origin: &dyn Origin,
        rules: Rules,
        is_replaced: &(dyn Fn(&Contents) -> bool + Sync),
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Obtained, CacheError> {
        self.layout.create()?;
        let known = record::read(&self.layout, &origin.identity());
        if (rules.offline || origin.is_fixed())
            && let Some(contents) = &known
            && let Some(obtained) = self.kept(contents, is_replaced).await?
        {
            return Ok(obtained);
        }
        let files = match self.list(origin, rules).await {
            Ok(files) => files,
            // What is here is better than nothing: a hub that is down must not keep a gateway from starting.
            Err(CacheError::Fetch(error)) => {
                if let Some(contents) = &known
                    && let Some(obtained) = self.kept(contents, is_replaced).await?
                {
                    tracing::warn!(
                        source = origin.identity(),
                        error = crate::config::chain(&error),
                        "the origin of a model cannot be asked, and the files that were fetched before are used"
                    );
                    return Ok(obtained);
                }
                return Err(error.into());
            }
            Err(error) => return Err(error),
        };
        if let Some(contents) = self.foreseen(origin, &files)
            && let Some(obtained) = self.kept(&contents, is_replaced).await?
        {
            record::write(&self.layout, &origin.identity(), &contents)?;
            return Ok(obtained);
        }
        let contents = self.fetch_all(origin, &files, rules, progress).await?;
        record::write(&self.layout, &origin.identity(), &contents)?;
        self.in_folder(contents).await
    }

    async fn list(&self, origin: &dyn Origin, rules: Rules) -> Result<Vec<RemoteFile>, CacheError> {
        // An origin that needs not be asked knows what it has, wherever we are.
        if rules.offline && !origin.is_fixed() {
            return Err(CacheError::Offline {
                source_name: origin.identity(),
            });
        }
        let files = origin.list().await.map_err(FetchError::from)?;
        if rules.offline
            && self
                .foreseen(origin, &files)
                .is_none_or(|contents| !self.has(&contents))
        {
            return Err(CacheError::Offline {
                source_name: origin.identity(),
            });
        }
        Ok(files)
    }

    /// What is here already.
    async fn kept(
        &self,
        contents: &Contents,
        is_replaced: &(dyn Fn(&Contents) -> bool + Sync),
    ) -> Result<Option<Obtained>, CacheError> {
        if is_replaced(contents) {
            return Ok(Some(Obtained {
                contents: contents.clone(),
                folder: None,
            }));
        }
        if !self.has(contents) {
            return Ok(None);
        }
        self.in_folder(contents.clone()).await.map(Some)
    }

    /// Files that are here, in a folder of their own.
    async fn in_folder(&self, contents: Contents) -> Result<Obtained, CacheError> {
        let layout = Arc::clone(&self.layout);
        blocking(move || {
            let held = snapshot::make(&layout, &contents)?;
            let folder = layout.snapshot(&contents.sha256);
            Ok(Obtained {
                contents,
                folder: Some((folder, held)),
            })
        })
        .await
    }

    /// What the files of an origin are, as far as that is known before they come. A size that nobody knows is 0.
    fn foreseen(&self, origin: &dyn Origin, files: &[RemoteFile]) -> Option<Contents> {
        let entry = |file: &RemoteFile| {
            let found = self.layout.found(&layout::key_of(origin, file), file);
            found.or_else(|| {
                Some(FileEntry {
                    name: file.name.clone(),
                    sha256: file.sha256.clone()?,
                    size: file.size.unwrap_or_default(),
                })
            })
        };
        let entries = files.iter().map(entry).collect::<Option<Vec<_>>>();
        entries.map(Contents::new)
    }

    /// Whether every file is here.
    fn has(&self, contents: &Contents) -> bool {
        snapshot::is_whole(&self.layout, contents)
            || contents
                .files
                .iter()
                .all(|file| self.layout.has_blob(&file.sha256, file.size))
    }

    async fn fetch_all(
        &self,
        origin: &dyn Origin,
        files: &[RemoteFile],
        rules: Rules,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Contents, CacheError> {
        let total = files.iter().map(|file| file.size).sum::<Option<u64>>();
        self.make_room_for(origin, files, rules).await?;
        let mut pace = Pace::new(Instant::now());
        let (mut entries, mut before) = (Vec::new(), 0);
        for file in files {
            let mut told = |done: u64, of_file: Option<u64>| {
                let done = before + done;
                let only = (files.len() == 1).then_some(of_file).flatten();
                progress(Progress {
                    done,
                    total: total.or(only),
                    rate: pace.rate(done, Instant::now()),
                });
            };
            let entry = self.fetch_one(origin, file, rules, &mut told).await?;
            before += entry.size;
            entries.push(entry);
        }
        Ok(Contents::new(entries))
    }

    /// Room for what is missing of these files.
    async fn make_room_for(
        &self,
        origin: &dyn Origin,
        files: &[RemoteFile],
        rules: Rules,
    ) -> Result<(), CacheError> {
        let layout = &self.layout;
        let (mut missing, mut here) = (0, HashSet::new());
        for file in files {
            let key = layout::key_of(origin, file);
            if let Some(entry) = layout.found(&key, file) {
                here.insert(entry.sha256);
            } else {
                let begun = std::fs::metadata(layout.partial(&key));
                let begun = begun.map_or(0, |begun| begun.len());
                missing += file.size.unwrap_or_default().saturating_sub(begun);
            }
        }
        let layout = Arc::clone(layout);
        blocking(move || eviction::make_room(&layout, missing, rules.budget, &here)).await
    }

    async fn fetch_one(
        &self,
        origin: &dyn Origin,
        file: &RemoteFile,
        rules: Rules,
        progress: &mut (dyn FnMut(u64, Option<u64>) + Send),
    ) -> Result<FileEntry, CacheError> {
        let layout = &self.layout;
        let key = layout::key_of(origin, file);
        if let Some(entry) = layout.found(&key, file) {
            progress(entry.size, Some(entry.size));
            return Ok(entry);
        }
        let partial = layout.partial(&key);
        let wait = lock::Wait {
            lock: partial.with_extension("lock"),
            partial: &partial,
        };
        let turn = wait.turn(&mut |done| progress(done, file.size)).await?;
        // Whoever had it before may have fetched it.
        if let Some(entry) = layout.found(&key, file) {
            progress(entry.size, Some(entry.size));
            return Ok(entry);
        }
        if rules.offline {
            return Err(CacheError::Offline {
                source_name: origin.identity(),
            });
        }
        tracing::info!(
            file = file.name,
            bytes = file.size,
            "fetching a file of a model"
        );
        let fetched = fetch(origin, file, &partial, progress).await?;
        let entry = FileEntry {
            name: file.name.clone(),
            sha256: fetched.sha256,
            size: fetched.size,
        };
        layout.keep(&key, &partial, file, &entry)?;
        drop(turn);
        Ok(entry)
    }

    /// Delete what nobody has used for longest until so many more bytes may come.
    pub async fn make_room(&self, needed: u64, rules: Rules) -> Result<(), CacheError> {
        let layout = Arc::clone(&self.layout);
        blocking(move || eviction::make_room(&layout, needed, rules.budget, &HashSet::new())).await
    }

    /// What is here.
    pub async fn usage(&self) -> Result<Usage, CacheError> {
        let layout = Arc::clone(&self.layout);
        blocking(move || Ok(eviction::usage(&layout))).await
    }

    /// Keep an import from being deleted, and note that it is used.
    pub fn hold_import(&self, name: &str) -> Result<Held, CacheError> {
        self.layout.create()?;
        Held::take(&self.layout.import_lock(name))
    }

    /// Forget the files that something made of them replaces.
    pub fn forget(&self, contents: &Contents) {
        eviction::forget(&self.layout, contents);
    }

    /// Where imports are.
    pub fn imports(&self) -> PathBuf {
        self.layout.imports.clone()
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CacheError> + Send + 'static,
) -> Result<T, CacheError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        Err(CacheError::Disk {
            path: PathBuf::new(),
            source: io::Error::other(error),
        })
    })
}

fn on_disk(path: &Path) -> impl Fn(io::Error) -> CacheError + '_ {
    move |source| CacheError::Disk {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
