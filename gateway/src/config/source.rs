//! Where a configuration comes from, and how it is read whole. Blocking file I/O; swapping is for `reload`.

mod manifests;
mod overlay;
mod quick_start;
mod routes_file;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use claw_crds::GatewayConfig;
use claw_crds::gateway_config::{ModelBackend, SourceConfig};

use super::{ConfigError, chain};

pub use manifests::ManifestsSource;
pub use overlay::{Overlay, TlsFiles};
pub use quick_start::QuickStart;

/// Where a configuration comes from.
#[derive(Debug)]
pub enum Source {
    /// A rendered configuration.
    File(PathBuf),
    /// Custom resources as files.
    Manifests(ManifestsSource),
    /// Models named on the command line.
    QuickStart(QuickStart),
    /// A Secret of a cluster; its content comes by [`Reader::receive`].
    Secret {
        /// Absent means that of the Kubernetes configuration.
        namespace: Option<String>,
        /// The Secret.
        name: String,
    },
}

/// Reads the configuration of one source.
#[derive(Debug)]
pub struct Reader {
    /// Where it comes from.
    pub source: Source,
    /// What the command line says over it.
    pub overlay: Overlay,
    /// Where relative model paths begin.
    pub models_dir: PathBuf,
    received: Mutex<Option<Vec<u8>>>,
}

/// A configuration as read.
#[derive(Debug)]
pub struct Draft {
    /// Where it came from.
    pub origin: String,
    /// The configuration.
    pub config: GatewayConfig,
    /// What does not stop it from being served.
    pub warnings: Vec<String>,
}

impl Reader {
    /// A reader of this source.
    pub fn new(source: Source, overlay: Overlay, models_dir: PathBuf) -> Self {
        Self {
            source,
            overlay,
            models_dir,
            received: Mutex::default(),
        }
    }

    /// Keep what a watch delivered, for this and later reads.
    pub fn receive(&self, content: Vec<u8>) {
        *self.received.lock().unwrap_or_else(PoisonError::into_inner) = Some(content);
    }

    /// Whether the source is one that delivers, and has not yet.
    pub fn is_waiting(&self) -> bool {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(self.source, Source::Secret { .. }) && received.is_none()
    }

    /// For messages.
    pub fn origin(&self) -> String {
        match &self.source {
            Source::File(path) => path.display().to_string(),
            Source::Manifests(manifests) => manifests.directory.display().to_string(),
            Source::QuickStart(_) => "the command line".to_owned(),
            Source::Secret {
                namespace: Some(namespace),
                name,
            } => format!("Secret {namespace}/{name}"),
            Source::Secret {
                namespace: None,
                name,
            } => format!("Secret {name}"),
        }
    }

    /// Read everything anew.
    pub fn read(&self) -> Result<Draft, ConfigError> {
        let origin = self.origin();
        let (config, warnings) = match &self.source {
            Source::File(path) => {
                let bytes = std::fs::read(path).map_err(|error| {
                    ConfigError::new(&origin, format!("cannot be read: {error}"))
                })?;
                (parse(&origin, &bytes)?, Vec::new())
            }
            Source::Manifests(manifests) => manifests.read()?,
            Source::QuickStart(quick_start) => (quick_start.config()?, Vec::new()),
            Source::Secret { .. } => {
                let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
                let bytes = received
                    .as_ref()
                    .ok_or_else(|| ConfigError::new(&origin, "not received yet"))?;
                (parse(&origin, bytes)?, Vec::new())
            }
        };
        let mut config = self.overlay.apply(&origin, config)?;
        self.resolve_paths(&mut config);
        Ok(Draft {
            origin,
            config,
            warnings,
        })
    }

    /// Every file and folder whose change means that the configuration may have changed.
    pub fn watched(&self) -> Vec<PathBuf> {
        let mut watched = self.overlay.files();
        match &self.source {
            Source::File(path) => watched.push(path.clone()),
            Source::Manifests(manifests) => watched.extend(manifests.watched()),
            Source::QuickStart(quick_start) => watched.extend(quick_start.routes.clone()),
            Source::Secret { .. } => {}
        }
        watched
    }

    fn resolve_paths(&self, config: &mut GatewayConfig) {
        for model in &mut config.models {
            if let ModelBackend::Local(local) = &mut model.backend
                && let SourceConfig::Path(path) = &mut local.source
            {
                // An absolute path stays what it is.
                *path = self.models_dir.join(&path).to_string_lossy().into_owned();
            }
        }
    }
}

fn parse(origin: &str, bytes: &[u8]) -> Result<GatewayConfig, ConfigError> {
    GatewayConfig::from_json(bytes).map_err(|error| ConfigError::new(origin, chain(&error)))
}
