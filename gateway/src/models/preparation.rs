//! From a source to a loaded engine: fetch what is remote, import what is not imported, load, warm.
//!
//! Imports are kept in the state directory under what they are made of, so each is made once.

mod leftovers;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use claw_crds::gateway_config::{QuantizationConfig, SourceConfig};
use claw_inference::import::source_digest;
use claw_inference::model_dir::MANIFEST_FILE;
use tokio::sync::{Semaphore, watch};

use super::fetch::{Download, FetchError, fetch};
use super::{Engine, EngineError, LoadProgress, Loader, SlotKey, SlotState};
use crate::outbound::Outbound;

/// Where files on their way go, below the state directory.
const DOWNLOADS: &str = "downloads";
/// What describes a published model.
const PUBLISHED_CONFIG: &str = "config.json";
/// Where models are kept.
const IMPORTS: &str = "models";

/// Why a model is not there.
#[derive(Debug, thiserror::Error)]
pub(super) enum PreparationError {
    /// Its file did not come.
    #[error("failed to fetch the model")]
    Fetch(#[from] FetchError),
    /// Its files cannot be read.
    #[error("failed to read the model at {}: give the path of a GGUF file, or of a directory with a model", path.display())]
    Source {
        /// Where.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The place for imports cannot be used.
    #[error("failed to use the state directory {}: make it writable, or choose another with --state-dir", path.display())]
    StateDirectory {
        /// Where.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// It could not be imported.
    #[error("failed to import the model")]
    Import(#[source] EngineError),
    /// It could not be loaded.
    #[error("failed to load the model")]
    Load(#[source] EngineError),
    /// The thread that worked on it panicked.
    #[error("an internal fault ended the preparation")]
    Panicked(#[source] tokio::task::JoinError),
}

/// Prepares models.
#[derive(Clone)]
pub struct Workshop {
    loader: Arc<dyn Loader>,
    outbound: Outbound,
    state_dir: PathBuf,
    /// One import or load at a time: two would compete for the same memory and finish later.
    turn: Arc<Semaphore>,
}

impl Workshop {
    /// A workshop that keeps imports below `state_dir`. What a crash has left there goes.
    pub fn new(loader: Arc<dyn Loader>, outbound: Outbound, state_dir: PathBuf) -> Self {
        leftovers::remove(&state_dir, SystemTime::now());
        Self {
            loader,
            outbound,
            state_dir,
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// One attempt to get a model ready; `state` is told every step but the outcome.
    pub(super) async fn prepare(
        &self,
        key: &SlotKey,
        state: &watch::Sender<SlotState>,
    ) -> Result<Arc<dyn Engine>, PreparationError> {
        let source = match &key.model.source {
            SourceConfig::Path(path) => PathBuf::from(path),
            SourceConfig::Http { url, sha256 } => self.fetched(url, sha256, key, state).await?,
        };
        // Never closed, so the permit always comes.
        let _turn = self.turn.acquire().await;
        let (workshop, key, state) = (self.clone(), key.clone(), state.clone());
        tokio::task::spawn_blocking(move || workshop.prepare_blocking(&source, &key, &state))
            .await
            .map_err(PreparationError::Panicked)?
    }

    /// The downloaded file, or straight away its import from another time.
    async fn fetched(
        &self,
        url: &str,
        sha256: &str,
        key: &SlotKey,
        state: &watch::Sender<SlotState>,
    ) -> Result<PathBuf, PreparationError> {
        let imported = self.import_path(sha256, key.model.quantization);
        if imported.is_dir() {
            return Ok(imported);
        }
        let target = self
            .state_dir
            .join(DOWNLOADS)
            .join(format!("{}.gguf", sha256.to_ascii_lowercase()));
        if !target.is_file() {
            tracing::info!(sha256, "fetching a model");
            let mut told = 0;
            fetch(
                &self.outbound,
                Download {
                    url,
                    sha256,
                    target: &target,
                },
                |done, total| {
                    state.send_replace(SlotState::Fetching { done, total });
                    if done - told >= 64 << 20 || Some(done) == total {
                        told = done;
                        tracing::info!(
                            sha256,
                            bytes = done,
                            total_bytes = total,
                            "fetching a model"
                        );
                    }
                },
            )
            .await?;
        }
        Ok(target)
    }

    fn prepare_blocking(
        &self,
        source: &Path,
        key: &SlotKey,
        state: &watch::Sender<SlotState>,
    ) -> Result<Arc<dyn Engine>, PreparationError> {
        let unreadable = |error| PreparationError::Source {
            path: source.to_owned(),
            source: error,
        };
        let is_directory = source.metadata().map_err(unreadable)?.is_dir();
        let directory = if is_directory && !is_published(source) {
            source.to_owned()
        } else {
            let sha256 = match &key.model.source {
                // Checked when it was fetched.
                SourceConfig::Http { sha256, .. } => sha256.clone(),
                SourceConfig::Path(_) => source_digest(source, &mut |_, _| {})
                    .map_err(|error| PreparationError::Import(EngineError::new(error)))?,
            };
            self.imported(source, &sha256, key, state)?
        };
        state.send_replace(SlotState::Loading);
        self.loader
            .load(&directory, key)
            .map_err(PreparationError::Load)
    }

    fn imported(
        &self,
        source: &Path,
        sha256: &str,
        key: &SlotKey,
        state: &watch::Sender<SlotState>,
    ) -> Result<PathBuf, PreparationError> {
        let target = self.import_path(sha256, key.model.quantization);
        if !target.is_dir() {
            let folder = self.state_dir.join(IMPORTS);
            std::fs::create_dir_all(&folder).map_err(|error| PreparationError::StateDirectory {
                path: folder,
                source: error,
            })?;
            tracing::info!(sha256, target = %target.display(), "importing a model");
            let mut report = |progress: LoadProgress| {
                state.send_replace(SlotState::Importing(progress));
            };
            let quantization = key.model.quantization;
            let imported = self
                .loader
                .import(source, &target, quantization, &mut report);
            match imported {
                // It appears whole or not at all.
                Err(_) if target.is_dir() => {
                    tracing::info!(sha256, "another replica on the same volume has imported it");
                }
                imported => imported.map_err(PreparationError::Import)?,
            }
        }
        if matches!(key.model.source, SourceConfig::Http { .. })
            && source.starts_with(&self.state_dir)
        {
            // The import replaces it; should it stay, it only takes space.
            let _ = std::fs::remove_file(source);
        }
        Ok(target)
    }

    fn import_path(&self, sha256: &str, quantization: QuantizationConfig) -> PathBuf {
        let weights = match quantization {
            QuantizationConfig::None => "none",
            QuantizationConfig::Int8 => "int8",
            QuantizationConfig::Int4 => "int4",
        };
        let version = self.loader.importer_version();
        self.state_dir.join(IMPORTS).join(format!(
            "{}-{weights}-v{version}",
            sha256.to_ascii_lowercase()
        ))
    }
}

/// Whether a directory holds a model as it is published, rather than an imported one.
fn is_published(directory: &Path) -> bool {
    directory.join(PUBLISHED_CONFIG).is_file() && !directory.join(MANIFEST_FILE).is_file()
}
