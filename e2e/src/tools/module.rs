//! The Go modules that pin the programs' versions: `e2e/tools/<name>/{go.mod,go.sum}`.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

/// Linker variables that make a Kubernetes program report its version; without them it claims v0.0.0-master.
const VERSION_PACKAGE: &str = "k8s.io/component-base/version";

/// One pinned module with the programs taken from it.
#[derive(Clone, Debug)]
pub(super) struct Module {
    /// Its folder, and the name of what is built from it.
    pub(super) name: &'static str,
    /// The module whose version is reported.
    requirement: &'static str,
    /// Program and the package it is built from.
    pub(super) programs: &'static [(&'static str, &'static str)],
    directory: PathBuf,
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
    /// Name of the directory in the cache.
    pub(super) directory_name: String,
}

impl Module {
    pub(super) fn etcd() -> Self {
        Self {
            name: "etcd",
            requirement: "go.etcd.io/etcd/server/v3",
            programs: &[("etcd", "go.etcd.io/etcd/server/v3")],
            directory: tools_directory().join("etcd"),
        }
    }

    pub(super) fn kubernetes() -> Self {
        Self {
            name: "kubernetes",
            requirement: "k8s.io/kubernetes",
            programs: &[
                ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
                (
                    "kube-controller-manager",
                    "k8s.io/kubernetes/cmd/kube-controller-manager",
                ),
                ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
            ],
            directory: tools_directory().join("kubernetes"),
        }
    }

    /// Where `go.mod` lies.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn pin(&self) -> Result<Pin, ModuleError> {
        let read = |name: &str| {
            let path = self.directory.join(name);
            std::fs::read_to_string(&path).map_err(|source| ModuleError::Read { path, source })
        };
        let (go_mod, go_sum) = (read("go.mod")?, read("go.sum")?);
        let version = required_version(&go_mod, self.requirement).ok_or_else(|| {
            ModuleError::NoRequirement {
                path: self.directory.join("go.mod"),
                module: self.requirement,
            }
        })?;
        let digest = Sha256::new()
            .chain_update(&go_mod)
            .chain_update(&go_sum)
            .finalize();
        let digest = digest[..6].iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        Ok(Pin {
            directory_name: format!("{}-{version}-{digest}", self.name),
            version: version.to_owned(),
        })
    }

    /// What the linker is told: no symbol tables, and for Kubernetes its version.
    pub(super) fn linker_flags(&self, pin: &Pin) -> String {
        let mut flags = "-s -w".to_owned();
        if self.name == "kubernetes" {
            let version = &pin.version;
            let minor = version.split('.').nth(1).unwrap_or_default();
            for (variable, value) in [
                ("gitVersion", version.as_str()),
                ("gitMajor", "1"),
                ("gitMinor", minor),
            ] {
                let _ = write!(flags, " -X {VERSION_PACKAGE}.{variable}={value}");
            }
        }
        flags
    }
}

fn tools_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tools")
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
        for module in [Module::etcd(), Module::kubernetes()] {
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
    fn kubernetes_is_linked_with_its_version() {
        let pin = Pin {
            version: "v1.77.3".into(),
            directory_name: String::new(),
        };
        let flags = Module::kubernetes().linker_flags(&pin);
        assert!(flags.contains("version.gitVersion=v1.77.3"), "{flags}");
        assert!(flags.contains("version.gitMinor=77"), "{flags}");
        assert_eq!(Module::etcd().linker_flags(&pin), "-s -w");
    }
}
