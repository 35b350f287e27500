//! The Go modules that pin the programs' versions: `e2e/tools/<name>/{go.mod,go.sum}`.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

/// One pinned module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Module {
    /// Its folder, and the name of what is built from it.
    pub(super) name: &'static str,
    /// The module whose version is reported.
    requirement: &'static str,
}

/// Why a pinned module cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// `go.mod` or `go.sum` is missing or unreadable.
    #[error("failed to read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// `go.mod` does not say which version it wants.
    #[error("{path} does not require {module}: restore it from version control")]
    NoRequirement {
        /// The file.
        path: PathBuf,
        /// The module looked for.
        module: &'static str,
    },
}

/// What identifies a build: the same pins give the same directory, other pins another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pin {
    /// E.g. `v1.34.4`.
    pub(super) version: String,
    /// The Kubernetes release that the programs speak for.
    kubernetes: Option<String>,
    /// Name of the directory in the cache.
    pub(super) directory_name: String,
}

impl Module {
    pub(super) const ETCD: Self = Self::new("etcd", "go.etcd.io/etcd/server/v3");
    pub(super) const KUBERNETES: Self = Self::new("kubernetes", "k8s.io/kubernetes");
    pub(super) const HELM: Self = Self::new("helm", "helm.sh/helm/v3");
    pub(super) const COREDNS: Self = Self::new("coredns", "github.com/coredns/coredns");
    pub(super) const METRICS_SERVER: Self =
        Self::new("metrics-server", "sigs.k8s.io/metrics-server");
    pub(super) const KWOK: Self = Self::new("kwok", "sigs.k8s.io/kwok");
    pub(super) const GITOPS_AGENT: Self =
        Self::new("gitops-agent", "github.com/argoproj/gitops-engine");
    pub(super) const PROMETHEUS: Self = Self::new("prometheus", "github.com/prometheus/prometheus");

    const fn new(name: &'static str, requirement: &'static str) -> Self {
        Self { name, requirement }
    }

    /// Where `go.mod` lies.
    pub(super) fn directory(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tools")
            .join(self.name)
    }

    fn read(&self, name: &str) -> Result<String, ModuleError> {
        let path = self.directory().join(name);
        std::fs::read_to_string(&path).map_err(|source| ModuleError::Read { path, source })
    }

    pub(super) fn pin(&self) -> Result<Pin, ModuleError> {
        let (go_mod, go_sum) = (self.read("go.mod")?, self.read("go.sum")?);
        let required = |module: &'static str| {
            let path = || self.directory().join("go.mod");
            required_version(&go_mod, module)
                .map(str::to_owned)
                .ok_or_else(|| ModuleError::NoRequirement {
                    path: path(),
                    module,
                })
        };
        let version = required(self.requirement)?;
        // Helm speaks for the Kubernetes release of its client.
        let kubernetes = match *self {
            Self::KUBERNETES => Some(version.clone()),
            Self::HELM => Some(required("k8s.io/client-go")?),
            _ => None,
        };
        let digest = Sha256::new()
            .chain_update(&go_mod)
            .chain_update(&go_sum)
            .finalize();
        let digest = hex::encode(&digest[..6]);
        Ok(Pin {
            directory_name: format!("{}-{version}-{digest}", self.name),
            version,
            kubernetes,
        })
    }

    /// What the linker is told: no symbol tables, and the version where a program would claim another one.
    pub(super) fn linker_flags(&self, pin: &Pin) -> String {
        let mut flags = "-s -w".to_owned();
        let minor = pin.kubernetes.as_deref().and_then(|v| v.split('.').nth(1));
        let mut set = |variable: &str, value: &str| {
            let _ = write!(flags, " -X {variable}={value}");
        };
        match *self {
            Self::KUBERNETES => {
                const PACKAGE: &str = "k8s.io/component-base/version";
                set(&format!("{PACKAGE}.gitVersion"), &pin.version);
                set(&format!("{PACKAGE}.gitMajor"), "1");
                set(&format!("{PACKAGE}.gitMinor"), minor.unwrap_or_default());
            }
            Self::HELM => {
                set("helm.sh/helm/v3/internal/version.version", &pin.version);
                // What `helm template` and `helm lint` take for the cluster's version; 1.20 otherwise.
                for package in ["chartutil", "lint/rules"] {
                    let package = format!("helm.sh/helm/v3/pkg/{package}");
                    set(&format!("{package}.k8sVersionMajor"), "1");
                    set(
                        &format!("{package}.k8sVersionMinor"),
                        minor.unwrap_or_default(),
                    );
                }
            }
            _ => {}
        }
        flags
    }
}

/// The version of a `require` line, within a block or alone.
fn required_version<'a>(go_mod: &'a str, module: &str) -> Option<&'a str> {
    go_mod.lines().find_map(|line| {
        let mut words = line
            .trim()
            .trim_start_matches("require ")
            .split_whitespace();
        (words.next() == Some(module))
            .then(|| words.next())
            .flatten()
            .filter(|word| word.starts_with('v'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pinned_versions_are_read() {
        for module in [Module::ETCD, Module::HELM] {
            let pin = module.pin().expect("pinned");
            assert!(pin.version.starts_with('v'), "{pin:?}");
            assert!(pin.directory_name.contains(&pin.version), "{pin:?}");
        }
    }

    #[test]
    fn a_requirement_is_found_alone_and_in_a_block_but_not_as_a_replacement() {
        let block = "require (\n\tk8s.io/api v0.1.0 // indirect\n)\n";
        assert_eq!(required_version(block, "k8s.io/api"), Some("v0.1.0"));
        assert_eq!(
            required_version("require k8s.io/api v0.2.0\n", "k8s.io/api"),
            Some("v0.2.0")
        );
        let replaced = "\tk8s.io/api => k8s.io/api v0.3.0\n";
        assert_eq!(required_version(replaced, "k8s.io/api"), None);
    }

    #[test]
    fn programs_are_linked_with_their_version() {
        let pin = Pin {
            version: "v1.77.3".into(),
            kubernetes: Some("v0.66.0".into()),
            directory_name: String::new(),
        };
        let flags = Module::KUBERNETES.linker_flags(&pin);
        assert!(flags.contains("version.gitVersion=v1.77.3"), "{flags}");
        assert!(flags.contains("version.gitMinor=66"), "{flags}");
        let flags = Module::HELM.linker_flags(&pin);
        assert!(flags.contains("chartutil.k8sVersionMinor=66"), "{flags}");
        assert_eq!(Module::ETCD.linker_flags(&pin), "-s -w");
    }
}
