//! How many processors the kubelet believes in: enough for the requests of the examples, also on a small machine.
//!
//! Requests only reserve; on a machine with fewer processors the pods share them. The kubelet counts the processors of
//! each memory node in /sys, which is replaced inside the mount namespace by nodes that all have the same ones.
//! Containers see the true /sys.

use std::{fs, os::unix::fs::symlink, path::Path};

use super::{Error, command, file_error, namespaces::Namespaces};

const WANTED: usize = 16;
const MEMORY_NODES: &str = "/sys/devices/system/node";
const PROCESSORS: &str = "/sys/devices/system/cpu";

pub(super) fn pretend(namespaces: &Namespaces, directory: &Path) -> Result<(), Error> {
    let processors = processors(Path::new(PROCESSORS))?;
    // A machine without memory nodes is one where the kubelet looks elsewhere.
    if processors.is_empty() || !Path::new(MEMORY_NODES).exists() {
        return Ok(());
    }
    // A reboot: they are there from last time.
    if !directory.exists() {
        for number in 0..WANTED.div_ceil(processors.len()) {
            let node = directory.join(format!("node{number}"));
            fs::create_dir_all(&node).map_err(file_error(&node))?;
            for name in &processors {
                let link = node.join(name);
                symlink(Path::new(PROCESSORS).join(name), &link).map_err(file_error(&link))?;
            }
        }
    }
    let mut mount = namespaces.command();
    mount
        .args(["mount", "--bind"])
        .arg(directory)
        .arg(MEMORY_NODES);
    command::run(&mut mount).map(drop).map_err(Error::Command)
}

/// `cpu0`, `cpu1` and so on, but not `cpufreq`.
fn processors(directory: &Path) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(file_error(directory))? {
        let name = entry.map_err(file_error(directory))?.file_name();
        let name = name.to_string_lossy();
        let number = name.strip_prefix("cpu").unwrap_or_default();
        if number.parse::<u32>().is_ok() {
            found.push(name.into_owned());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_told_from_what_lies_beside_them() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for name in ["cpu0", "cpu11", "cpufreq", "online"] {
            fs::write(directory.path().join(name), "").expect("writable");
        }
        let mut found = processors(directory.path()).expect("listed");
        found.sort();
        assert_eq!(found, ["cpu0", "cpu11"]);
    }
}
