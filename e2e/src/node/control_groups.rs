//! The control groups under which the kubelet puts all pods, so that they can be removed with certainty.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{Error, file_error};

const ROOT: &str = "/sys/fs/cgroup";
/// The group's name; the kubelet's `cgroupRoot`.
pub(super) const NAME: &str = "claw-node";
/// The kernel takes a moment to forget processes that were killed.
const DEADLINE: Duration = Duration::from_secs(10);

/// Our groups; removed when dropped.
#[derive(Debug)]
pub(super) struct ControlGroups(Vec<PathBuf>);

impl ControlGroups {
    /// Make them in every hierarchy, after removing what a dead owner left.
    pub(super) fn create() -> Result<Self, Error> {
        let groups: Vec<PathBuf> = hierarchies(Path::new(ROOT))
            .map_err(file_error(Path::new(ROOT)))?
            .into_iter()
            .map(|hierarchy| hierarchy.join(NAME))
            .collect();
        for group in &groups {
            remove(group).map_err(file_error(group))?;
            fs::create_dir(group).map_err(file_error(group))?;
        }
        Ok(Self(groups))
    }
}

impl Drop for ControlGroups {
    fn drop(&mut self) {
        for group in &self.0 {
            // The next node removes what could not be removed now, and says so when it cannot.
            let _ = remove(group);
        }
    }
}

/// One directory for version 2, one for each controller for version 1.
fn hierarchies(root: &Path) -> io::Result<Vec<PathBuf>> {
    if root.join("cgroup.controllers").is_file() {
        return Ok(vec![root.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        // `cpu,cpuacct` has links of other names to it.
        if path.join("cgroup.procs").is_file() && !path.is_symlink() {
            found.push(path);
        }
    }
    Ok(found)
}

/// Remove a group and those below it, waiting for processes that are about to be gone.
fn remove(group: &Path) -> io::Result<()> {
    let start = Instant::now();
    loop {
        match remove_once(group) {
            Err(error)
                if error.kind() == io::ErrorKind::ResourceBusy && start.elapsed() < DEADLINE =>
            {
                std::thread::yield_now();
            }
            outcome => return outcome,
        }
    }
}

fn remove_once(group: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(group) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_once(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_told_apart() {
        let root = tempfile::tempdir().expect("a temporary directory");
        for name in ["memory", "pids", "not-a-hierarchy"] {
            fs::create_dir(root.path().join(name)).expect("writable");
        }
        for name in ["memory", "pids"] {
            fs::write(root.path().join(name).join("cgroup.procs"), "").expect("writable");
        }
        let mut first = hierarchies(root.path()).expect("listed");
        first.sort();
        assert_eq!(first, ["memory", "pids"].map(|name| root.path().join(name)));
        fs::write(root.path().join("cgroup.controllers"), "cpu").expect("writable");
        let second = hierarchies(root.path()).expect("listed");
        assert_eq!(second, [root.path()]);
    }
}
