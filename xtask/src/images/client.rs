//! An image with Python and the official OpenAI client, for tests in a cluster.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;
use claw_e2e::tools::cache;

use super::base;
use crate::{command, fetch, test::CLIENT};

/// The files of the image: the base's, and the client below /client.
pub(super) fn files() -> anyhow::Result<[PathBuf; 2]> {
    let base = base::files("python", &base::PYTHON)?;
    let version = python_version(&base)?;
    let cache = cache::directory("images")?;
    let target = cache.join(format!(
        "client-{}-python{version}",
        CLIENT.replace("==", "-")
    ));
    if !target.is_dir() {
        let work = cache.join(format!(".client-{}", std::process::id()));
        let outcome =
            install(&version, &work.join("client")).and_then(|()| Ok(fs::rename(&work, &target)?));
        if outcome.is_err() && work.exists() {
            fs::remove_dir_all(&work)?;
        }
        outcome?;
    }
    Ok([base, target])
}

fn install(version: &str, into: &Path) -> anyhow::Result<()> {
    let python = fetch::python()?;
    let mut pip = Command::new(python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ])
    .args([
        "--only-binary=:all:",
        "--implementation",
        "cp",
        "--python-version",
        version,
    ])
    .arg("--target")
    .arg(into)
    .arg(CLIENT);
    command::run(&mut pip)
}

/// `3.11`, from the name of the program in the base.
fn python_version(base: &Path) -> anyhow::Result<String> {
    for entry in fs::read_dir(base.join("usr/bin"))? {
        let name = entry?.file_name();
        let version = name
            .to_string_lossy()
            .strip_prefix("python")
            .map(str::to_owned);
        if let Some(version) = version.filter(|version| version.starts_with("3.")) {
            return Ok(version);
        }
    }
    None.context("the package python3 brought no program called python3.*")
}
