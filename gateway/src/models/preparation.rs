//! From a source to a loaded engine: get the files, import what is not imported, load, warm.
//!
//! Imports are kept in the state directory under what they are made of, so each is made once.

mod form;
mod leftovers;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use claw_crds::gateway_config::{QuantizationConfig, SourceConfig};
use claw_inference::import::source_digest;
use tokio::sync::{Semaphore, watch};

use super::cache::{Cache, CacheError, Contents, Held, Rules, Usage};
use super::fetch::FetchError;
use super::memory::{MemoryError, MemoryNeed};
use super::origin::origin_of;
use super::state::{FailureKind, SlotState};
use super::{EngineError, LoadProgress, Loaded, Loader, SlotKey};
use crate::outbound::Outbound;
use form::{Form, encoder_digest, importable};

/// Where files on their way went in earlier versions, below the state directory.
const DOWNLOADS: &str = "downloads";
/// Where models are kept.
const IMPORTS: &str = "models";
/// The log hears of a download after so many bytes.
const TOLD_EACH: u64 = 64 << 20;

/// Why a model is not there.
#[derive(Debug, thiserror::Error)]
pub(super) enum PreparationError {
    /// Its files did not come.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// Its files cannot be read.
    #[error("failed to read the model at {}: give the path of a GGUF file, or of a directory with a model", path.display())]
    Source {
        /// Where.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// It could not be imported.
    #[error("failed to import the model")]
    Import(#[source] EngineError),
    /// There is not enough memory for it.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// It could not be loaded.
    #[error("failed to load the model")]
    Load(#[source] EngineError),
    /// The thread that worked on it panicked.
    #[error("an internal fault ended the preparation")]
    Panicked(#[source] tokio::task::JoinError),
}

impl PreparationError {
    /// What failed.
    pub(super) fn kind(&self) -> FailureKind {
        match self {
            Self::Cache(CacheError::Fetch(_) | CacheError::Offline { .. }) => FailureKind::Fetch,
            Self::Cache(CacheError::Budget { .. } | CacheError::Disk { .. })
            | Self::Source { .. } => FailureKind::Files,
            Self::Import(_) => FailureKind::Import,
            Self::Memory(_) => FailureKind::Memory,
            Self::Load(_) | Self::Panicked(_) => FailureKind::Load,
        }
    }
}

/// Prepares models.
#[derive(Clone)]
pub struct Workshop {
    loader: Arc<dyn Loader>,
    outbound: Outbound,
    cache: Cache,
    rules: Arc<Mutex<Rules>>,
    usage: Arc<Mutex<Usage>>,
    /// One import or load at a time: two would compete for the same memory and finish later.
    turn: Arc<Semaphore>,
}

/// A model directory, which stays while this is held.
pub(super) struct Files {
    directory: PathBuf,
    _held: Option<Held>,
}

impl Workshop {
    /// A workshop that keeps imports below `state_dir`. What a crash has left there goes.
    pub fn new(loader: Arc<dyn Loader>, outbound: Outbound, state_dir: &Path) -> Self {
        leftovers::remove(state_dir, SystemTime::now());
        Self {
            loader,
            outbound,
            cache: Cache::new(state_dir),
            rules: Arc::default(),
            usage: Arc::default(),
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// What the cache may do from now on.
    pub(super) fn set_rules(&self, rules: Rules) {
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    /// What the cache held after the last change, and what it may.
    pub(super) fn disk(&self) -> (Usage, Option<u64>) {
        let usage = *self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        (usage, self.rules().budget)
    }

    fn rules(&self) -> Rules {
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Get the files of a model; `state` is told every step.
    pub(super) async fn files(
        &self,
        key: &SlotKey,
        state: &watch::Sender<SlotState>,
    ) -> Result<Files, PreparationError> {
        let files = match &key.model.source {
            SourceConfig::Path(path) => self.local(PathBuf::from(path), key, state).await,
            SourceConfig::Http { .. }
            | SourceConfig::HuggingFace(_)
            | SourceConfig::S3(_)
            | SourceConfig::Oci(_) => self.remote(key, state).await,
        };
        // Also after a failure, which may be about room.
        if let Ok(usage) = self.cache.usage().await {
            *self.usage.lock().unwrap_or_else(PoisonError::into_inner) = usage;
        }
        files
    }

    async fn local(
        &self,
        path: PathBuf,
        key: &SlotKey,
        state: &watch::Sender<SlotState>,
    ) -> Result<Files, PreparationError> {
        let (at, task) = (path.clone(), key.task);
        let sha256 = run(move || {
            let unreadable = |source| PreparationError::Source {
                path: at.clone(),
                source,
            };
            if at.metadata().map_err(unreadable)?.is_dir() {
                match Form::of(task, |name| at.join(name).is_file()) {
                    Form::Loadable => return Ok(None),
                    Form::Encoder => return encoder_digest(&at).map(Some).map_err(unreadable),
                    Form::Decoder => {}
                }
            }
            source_digest(&at, &mut |_, _| {})
                .map(Some)
                .map_err(|error| PreparationError::Import(EngineError::new(error)))
        })
        .await?;
        match sha256 {
            None => Ok(Files {
                directory: path,
                _held: None,
            }),
            Some(sha256) => self.imported(path, &sha256, key, state).await,
        }
    }

    async fn remote(
        &self,
        key: &SlotKey,
        state: &watch::Sender<SlotState>,
    ) -> Result<Files, PreparationError> {
        let origin = origin_of(&key.model.source, &self.outbound)
            .map_err(|error| CacheError::Fetch(FetchError::Origin(error)))?
            .ok_or_else(|| self.lost_files())?;
        let import_name = |contents: &Contents| {
            let sha256 = importable(contents, key.task)?.1;
            Some(self.import_name(sha256, key.model.quantization))
        };
        let is_imported = |contents: &Contents| {
            import_name(contents).is_some_and(|name| self.cache.imports().join(name).is_dir())
        };
        let mut told = 0;
        let mut report = |progress: super::cache::Progress| {
            state.send_replace(progress.into());
            let super::cache::Progress { done, total, rate } = progress;
            if done.saturating_sub(told) >= TOLD_EACH || (Some(done) == total && done > told) {
                told = done;
                tracing::info!(
                    source = origin.identity(),
                    bytes = done,
                    total_bytes = total,
                    bytes_per_second = rate,
                    "fetching a model"
                );
            }
        };
        let rules = self.rules();
        let obtained = self
            .cache
            .obtain(&*origin, rules, &is_imported, &mut report)
            .await?;
        if let (None, Some(name)) = (&obtained.folder, import_name(&obtained.contents)) {
            let held = self.cache.hold_import(&name)?;
            let directory = self.cache.imports().join(name);
            if directory.is_dir() {
                return Ok(Files {
                    directory,
                    _held: Some(held),
                });
            }
        }
        // An import that has just been deleted needs its file again.
        let obtained = match obtained.folder {
            Some(_) => obtained,
            None => {
                self.cache
                    .obtain(&*origin, rules, &|_| false, &mut report)
                    .await?
            }
        };
        let contents = obtained.contents;
        let (folder, held) = obtained.folder.ok_or_else(|| self.lost_files())?;
        let Some((name, sha256)) = importable(&contents, key.task) else {
            return Ok(Files {
                directory: folder,
                _held: Some(held),
            });
        };
        let source = name.map_or_else(|| folder.clone(), |name| folder.join(name));
        let files = self.imported(source, sha256, key, state).await?;
        drop(held);
        // The import replaces it; should it stay, it only takes space.
        let cache = self.cache.clone();
        run(move || {
            cache.forget(&contents);
            Ok(())
        })
        .await?;
        Ok(files)
    }

    fn lost_files(&self) -> CacheError {
        CacheError::Disk {
            path: self.cache.imports(),
            source: std::io::Error::other("the files of the model are not there"),
        }
    }

    /// A model directory made of a GGUF file, or of a directory with a published model.
    async fn imported(
        &self,
        source: PathBuf,
        sha256: &str,
        key: &SlotKey,
        state: &watch::Sender<SlotState>,
    ) -> Result<Files, PreparationError> {
        let name = self.import_name(sha256, key.model.quantization);
        let held = self.cache.hold_import(&name)?;
        let directory = self.cache.imports().join(name);
        if !directory.is_dir() {
            let rules = self.rules();
            let needed = tokio::fs::metadata(&source)
                .await
                .map_or(0, |file| file.len());
            self.cache.make_room(needed, rules).await?;
            // Never closed, so the permit always comes.
            let turn = self.turn.clone().acquire_owned().await;
            let (workshop, target) = (self.clone(), directory.clone());
            let (key, state, sha256) = (key.clone(), state.clone(), sha256.to_owned());
            run(move || {
                // As long as the thread works, whether anybody waits for it or not.
                let _turn = turn;
                workshop.import(&source, &target, &sha256, &key, &state)
            })
            .await?;
            // How large it is, is known only now. What is in use stays.
            if let Err(error) = self.cache.make_room(0, rules).await {
                tracing::warn!(
                    error = crate::config::chain(&error),
                    "the cache holds more than it should"
                );
            }
        }
        Ok(Files {
            directory,
            _held: Some(held),
        })
    }

    fn import(
        &self,
        source: &Path,
        target: &Path,
        sha256: &str,
        key: &SlotKey,
        state: &watch::Sender<SlotState>,
    ) -> Result<(), PreparationError> {
        if target.is_dir() {
            return Ok(());
        }
        tracing::info!(sha256, target = %target.display(), "importing a model");
        let mut report = |progress: LoadProgress| {
            state.send_replace(SlotState::Importing(progress));
        };
        let quantization = key.model.quantization;
        match self
            .loader
            .import(source, target, key.task, quantization, &mut report)
        {
            // It appears whole or not at all.
            Err(_) if target.is_dir() => {
                tracing::info!(sha256, "another replica on the same volume has imported it");
                Ok(())
            }
            imported => imported.map_err(PreparationError::Import),
        }
    }

    fn import_name(&self, sha256: &str, quantization: QuantizationConfig) -> String {
        let weights = match quantization {
            QuantizationConfig::None => "none",
            QuantizationConfig::Int8 => "int8",
            QuantizationConfig::Int4 => "int4",
        };
        let version = self.loader.importer_version();
        format!("{}-{weights}-v{version}", sha256.to_ascii_lowercase())
    }

    /// What a model will take.
    pub(super) async fn memory_needed(
        &self,
        files: &Files,
        key: &SlotKey,
    ) -> Result<MemoryNeed, PreparationError> {
        let (loader, directory, key) = (
            Arc::clone(&self.loader),
            files.directory.clone(),
            key.clone(),
        );
        run(move || {
            loader
                .memory_needed(&directory, &key)
                .map_err(PreparationError::Load)
        })
        .await
    }

    /// Load a model and warm it.
    pub(super) async fn load(
        &self,
        files: &Files,
        key: &SlotKey,
    ) -> Result<Loaded, PreparationError> {
        let turn = self.turn.clone().acquire_owned().await;
        let (loader, directory, key) = (
            Arc::clone(&self.loader),
            files.directory.clone(),
            key.clone(),
        );
        run(move || {
            let _turn = turn;
            loader
                .load(&directory, &key)
                .map_err(PreparationError::Load)
        })
        .await
    }
}

/// On a thread that may block.
async fn run<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PreparationError> + Send + 'static,
) -> Result<T, PreparationError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(PreparationError::Panicked)?
}
