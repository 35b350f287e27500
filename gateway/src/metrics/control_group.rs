//! What the kernel lets this process use: the limits of its control group, version 1 or 2, and of all groups around
//! it.

use std::path::{Path, PathBuf};

/// Where limits stand.
#[derive(Clone, Debug)]
pub(crate) struct ControlGroup {
    root: PathBuf,
    /// The text of `/proc/self/cgroup`.
    membership: String,
}

impl ControlGroup {
    /// That of this process.
    pub(crate) fn own() -> Self {
        Self {
            root: PathBuf::from("/sys/fs/cgroup"),
            // Without it, the files at the root are tried, which in a container are its own.
            membership: std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default(),
        }
    }

    /// Bytes, where there is a limit.
    pub(crate) fn memory_limit(&self) -> Option<u64> {
        let new = self.unified().into_iter().map(|at| at.join("memory.max"));
        let old = self
            .legacy("memory")
            .into_iter()
            .map(|at| at.join("memory.limit_in_bytes"));
        // Without a limit, version 2 says `max`; version 1 says a number beyond all memory.
        new.chain(old)
            .filter_map(|file| number(&read(&file)?))
            .min()
    }

    /// Processors, where there is a quota.
    pub(crate) fn cpu_quota(&self) -> Option<f64> {
        let new = self.unified().into_iter().filter_map(|at| {
            let text = read(&at.join("cpu.max"))?;
            let (quota, period) = text.split_once(' ')?;
            ratio(quota, period)
        });
        let old = self.legacy("cpu").into_iter().filter_map(|at| {
            let quota = read(&at.join("cpu.cfs_quota_us"))?;
            let period = read(&at.join("cpu.cfs_period_us"))?;
            ratio(&quota, &period)
        });
        new.chain(old).min_by(f64::total_cmp)
    }

    /// Folders of version 2, from our group up to the root.
    fn unified(&self) -> Vec<PathBuf> {
        let path = self
            .membership
            .lines()
            .find_map(|line| line.strip_prefix("0::"));
        upwards(&self.root, path.unwrap_or("/"))
    }

    /// Folders of a controller of version 1, from our group up to the root.
    fn legacy(&self, controller: &str) -> Vec<PathBuf> {
        let path = self.membership.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            let is_ours = controllers.split(',').any(|name| name == controller);
            is_ours.then_some(path)
        });
        upwards(&self.root.join(controller), path.unwrap_or("/"))
    }
}

/// A container may see the path it has on its node, while only its own group is mounted: the root is then its own.
fn upwards(root: &Path, path: &str) -> Vec<PathBuf> {
    let path = path.trim_start_matches('/');
    Path::new(path)
        .ancestors()
        .map(|part| root.join(part))
        .collect()
}

fn read(file: &Path) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    Some(text.trim().to_owned())
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok()
}

fn ratio(quota: &str, period: &str) -> Option<f64> {
    let quota: f64 = quota.parse().ok()?;
    let period: f64 = period.parse().ok()?;
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(membership: &str, files: &[(&str, &str)]) -> (tempfile::TempDir, ControlGroup) {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, format!("{text}\n")).expect("written");
        }
        let group = ControlGroup {
            root: folder.path().to_owned(),
            membership: membership.to_owned(),
        };
        (folder, group)
    }

    #[test]
    fn the_tightest_group_of_version_2_counts() {
        let (_folder, group) = group(
            "0::/pods/desk\n",
            &[
                ("pods/desk/memory.max", "max"),
                ("pods/memory.max", "2147483648"),
                ("pods/desk/cpu.max", "150000 100000"),
                ("pods/cpu.max", "max 100000"),
            ],
        );
        assert_eq!(group.memory_limit(), Some(2 << 30));
        assert_eq!(group.cpu_quota(), Some(1.5));
    }

    #[test]
    fn version_1_is_understood() {
        let (_folder, group) = group(
            "5:cpu,cpuacct:/pods/desk\n4:memory:/pods/desk\n",
            &[
                ("memory/pods/desk/memory.limit_in_bytes", "1073741824"),
                ("cpu/pods/desk/cpu.cfs_quota_us", "-1"),
                ("cpu/pods/desk/cpu.cfs_period_us", "100000"),
            ],
        );
        assert_eq!(group.memory_limit(), Some(1 << 30));
        assert_eq!(group.cpu_quota(), None);
    }

    #[test]
    fn a_container_that_sees_its_nodes_path_finds_its_own_group_at_the_root() {
        let (_folder, group) = group("0::/kubepods/pod7/c9\n", &[("memory.max", "4096")]);
        assert_eq!(group.memory_limit(), Some(4096));
    }

    #[test]
    fn no_limit_is_none() {
        let (_folder, group) = group("", &[]);
        assert_eq!(group.memory_limit(), None);
        assert_eq!(group.cpu_quota(), None);
    }
}
