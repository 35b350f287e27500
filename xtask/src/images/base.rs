//! A base image's files from Debian packages: those named, what they need, and nothing else, so no shell either.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use claw_e2e::tools::cache;

use crate::command;

/// Packages of a base for programs linked to glibc and libstdc++.
pub(super) const RUNTIME: [&str; 1] = ["libstdc++6"];
/// Packages of a base with Python.
pub(super) const PYTHON: [&str; 1] = ["python3"];

/// A directory with the files of the packages; kept in the user's cache.
pub(super) fn files(name: &str, packages: &[&str]) -> anyhow::Result<PathBuf> {
    let cache = cache::directory("images")?;
    let target = cache.join(format!("base-{name}"));
    if target.is_dir() {
        return Ok(target);
    }
    let work = cache.join(format!(".base-{}", std::process::id()));
    let outcome =
        fetch(packages, &work).and_then(|()| Ok(fs::rename(work.join("files"), &target)?));
    fs::remove_dir_all(&work)?;
    outcome.map(|()| target)
}

fn fetch(packages: &[&str], work: &Path) -> anyhow::Result<()> {
    let (archives, files) = (work.join("archives"), work.join("files"));
    fs::create_dir_all(archives.join("partial"))?;
    fs::create_dir_all(&files)?;
    let status = work.join("status");
    fs::write(&status, "")?;
    let option = |name: &str, value: &Path| format!("{name}={}", value.display());
    let download = || {
        let mut apt = Command::new("apt-get");
        // As if nothing were installed, so that all that is needed is fetched.
        apt.args(["-o", &option("Dir::State::status", &status)])
            .args(["-o", &option("Dir::Cache::archives", &archives)])
            .args(["-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root"])
            .args([
                "--quiet",
                "--yes",
                "--no-install-recommends",
                "--download-only",
                "install",
            ])
            .args(packages);
        command::output(&mut apt)
    };
    if download().is_err() {
        // The lists may be stale or not be there at all.
        command::run(Command::new("apt-get").args(["--quiet", "update"]))?;
        download()?;
    }
    for archive in fs::read_dir(&archives)? {
        let archive = archive?.path();
        if archive
            .extension()
            .is_some_and(|extension| extension == "deb")
        {
            command::output(
                Command::new("dpkg-deb")
                    .arg("--extract")
                    .arg(archive)
                    .arg(&files),
            )?;
        }
    }
    // Newer releases ship everything below /usr, and leave the links to a package's scripts.
    for directory in ["bin", "lib", "lib64"] {
        let link = files.join(directory);
        if !link.exists() && files.join("usr").join(directory).exists() {
            symlink(format!("usr/{directory}"), link)?;
        }
    }
    for documentation in [
        "usr/share/doc",
        "usr/share/man",
        "usr/share/info",
        "usr/share/lintian",
    ] {
        let path = files.join(documentation);
        if path.exists() {
            fs::remove_dir_all(path)?;
        }
    }
    users(&files)
}

/// Programs look their user up.
fn users(files: &Path) -> anyhow::Result<()> {
    let etc = files.join("etc");
    fs::create_dir_all(&etc)?;
    fs::create_dir_all(files.join("tmp"))?;
    let user =
        "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n";
    fs::write(etc.join("passwd"), user)?;
    Ok(fs::write(
        etc.join("group"),
        "root:x:0:\nnonroot:x:65532:\n",
    )?)
}
