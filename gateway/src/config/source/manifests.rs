//! Custom resources as files: what an operator would do with them, on one machine.

mod certificates;

use std::path::{Path, PathBuf};

use claw_crds::GatewayConfig;
use claw_crds::compile::{Inputs, compile};
use claw_crds::gateway_config::OutboundConfig;
use claw_crds::manifest::{self, ManifestFile, Selection};

use super::routes_file;
use crate::config::{ConfigError, chain};

/// A folder of manifests.
#[derive(Debug)]
pub struct ManifestsSource {
    /// The folder.
    pub directory: PathBuf,
    /// Which gateway; absent means the only one.
    pub gateway: Option<String>,
    /// A routing file besides.
    pub routes: Option<PathBuf>,
    /// Where self-signed certificates are kept.
    pub state_dir: PathBuf,
    /// What may be called besides what the manifests allow.
    pub also_allowed: OutboundConfig,
}

impl ManifestsSource {
    pub(super) fn watched(&self) -> Vec<PathBuf> {
        // Something within the folder, so that the folder itself is what is watched.
        let mut watched = vec![self.directory.join("*.yaml")];
        watched.extend(self.routes.clone());
        watched
    }

    /// Any problem refuses the whole: unlike a cluster, a folder has no status to show a broken object in.
    pub(super) fn read(&self) -> Result<(GatewayConfig, Vec<String>), ConfigError> {
        let origin = self.directory.display().to_string();
        let files =
            read_files(&self.directory).map_err(|problem| ConfigError::new(&origin, problem))?;
        let (manifests, faults) = manifest::parse(&files);
        if !faults.is_empty() {
            return Err(ConfigError {
                origin,
                problems: faults.iter().map(ToString::to_string).collect(),
            });
        }
        let selection = manifests
            .select(self.gateway.as_deref())
            .map_err(|error| ConfigError::new(&origin, chain(&error)))?;
        let mut config = self.compile(&origin, &selection)?;
        if let Some(path) = &self.routes {
            let mut routes = routes_file::read(path, &config.models)?;
            routes.append(&mut config.routes);
            config.routes = routes;
        }
        Ok((config, selection.orphans))
    }

    fn compile(&self, origin: &str, selection: &Selection) -> Result<GatewayConfig, ConfigError> {
        let self_signed = match &selection.gateway.spec.tls.self_signed {
            Some(tls) => Some(
                certificates::issue(&self.state_dir, &selection.gateway, &tls.hosts).map_err(
                    |error| {
                        ConfigError::new(origin, format!("spec.tls.selfSigned: {}", chain(&error)))
                    },
                )?,
            ),
            None => None,
        };
        let compilation = compile(&Inputs {
            gateway: &selection.gateway,
            routes: &selection.routes,
            channels: &selection.channels,
            secrets: &selection.secrets,
            config_maps: &selection.config_maps,
            self_signed: self_signed.as_ref(),
            also_allowed: Some(&self.also_allowed),
        });
        match compilation.config {
            Some(config) if compilation.problems.is_empty() => Ok(config),
            _ => Err(ConfigError {
                origin: origin.to_owned(),
                problems: compilation
                    .problems
                    .iter()
                    .map(ToString::to_string)
                    .collect(),
            }),
        }
    }
}

/// All YAML and JSON files of a folder, by name; hidden ones are editors' and Kubernetes' own.
fn read_files(directory: &Path) -> Result<Vec<ManifestFile>, String> {
    let unreadable = |path: &Path, error: std::io::Error| {
        format!("--manifests: {} cannot be read: {error}", path.display())
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(|error| unreadable(directory, error))? {
        let path = entry.map_err(|error| unreadable(directory, error))?.path();
        let is_manifest = path.extension().is_some_and(|extension| {
            ["yaml", "yml", "json"]
                .iter()
                .any(|known| extension.eq_ignore_ascii_case(known))
        });
        let is_hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if is_manifest && !is_hidden && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, error))?;
            let name = path
                .file_name()
                .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            Ok(ManifestFile { name, text })
        })
        .collect()
}
