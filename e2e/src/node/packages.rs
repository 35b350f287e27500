//! Linux packages that a node needs.

use std::path::{Path, PathBuf};

use super::{
    command::{self, CommandError},
    settings::CNI_PLUGINS,
};

/// A program that is only there when the package is, by Debian's name.
const PACKAGES: [(&str, &str); 11] = [
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("buildah", "buildah"),
    ("ptp", "containernetworking-plugins"),
    ("iptables", "iptables"),
    ("ip", "iproute2"),
    ("conntrack", "conntrack"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
    ("mount", "mount"),
    ("cc", "build-essential"),
];

/// Why packages are missing.
#[derive(Debug, thiserror::Error)]
pub enum PackagesError {
    /// Only a person can install them here.
    #[error(
        "missing: {missing}. Install it: {install} (or what your distribution calls them), or leave the node out \
         (cargo xtask test --quick)"
    )]
    Missing {
        /// Their names.
        missing: String,
        /// What to run.
        install: String,
    },
    /// The installation failed.
    #[error("failed to install {missing}; try it by hand: {install}")]
    Install {
        /// Their names.
        missing: String,
        /// What was run.
        install: String,
        /// What it said.
        #[source]
        source: CommandError,
    },
}

/// Make sure that they are there. As root on Debian or Ubuntu, missing ones are installed, and `progress` told so.
pub fn ensure(progress: &mut dyn FnMut(&str)) -> Result<(), PackagesError> {
    let missing = missing(&search_path());
    if missing.is_empty() {
        return Ok(());
    }
    let missing = missing.join(" ");
    let install = format!("apt-get install {missing}");
    let has_apt = Path::new("/usr/bin/apt-get").is_file();
    if !has_apt || !rustix::process::geteuid().is_root() {
        return Err(PackagesError::Missing { missing, install });
    }
    progress(&format!("installing Linux packages of a node: {install}"));
    let apt = |arguments: &[&str]| {
        let mut apt = std::process::Command::new("apt-get");
        apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        command::run(&mut apt).map(drop)
    };
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(missing.split(' '));
    // The lists may be stale or not be there at all.
    let installed = apt(&arguments).or_else(|_| apt(&["update"]).and_then(|()| apt(&arguments)));
    installed.map_err(|source| PackagesError::Install {
        missing: missing.clone(),
        install,
        source,
    })
}

/// Where programs are looked for: root's directories, too, and those of the network plugins.
fn search_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    directories.extend(["/usr/sbin", "/sbin", CNI_PLUGINS].map(PathBuf::from));
    directories
}

fn missing(directories: &[PathBuf]) -> Vec<&'static str> {
    let mut missing: Vec<&str> = PACKAGES
        .into_iter()
        .filter(|(program, _)| !directories.iter().any(|path| path.join(program).is_file()))
        .map(|(_, package)| package)
        .collect();
    missing.dedup();
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_of_missing_programs_are_named_once() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for (program, _) in PACKAGES {
            if !["runc", "nsenter", "setpriv"].contains(&program) {
                std::fs::write(directory.path().join(program), "").expect("writable");
            }
        }
        let directories = [PathBuf::from("/nonexistent"), directory.path().to_owned()];
        assert_eq!(missing(&directories), ["runc", "util-linux"]);
    }
}
