//! `cargo xtask release`: the gateway's program as it is released. It is built twice: to count what it does under load,
//! and by what was counted (docs/adr/0014).

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;
use sha2::{Digest, Sha256};

use crate::{bench::proxy::training, command};

/// Cargo's profile of what is released.
pub(crate) const PROFILE: &str = "release";

/// The names, in symbols, of what runs models. The loads run none, and what never ran would be built to be small: without
/// counts, it is built as ever.
const ENGINE: [&str; 14] = [
    "claw_inference",
    "_ZN3ort",
    "_ZN4half",
    "_ZN4pulp",
    "_ZN7ndarray",
    "aho_corasick",
    "archmage",
    "derivre",
    "fancy_regex",
    "llguidance",
    "minijinja",
    "regex_automata",
    "tokenizers",
    "toktrie",
];

/// Options of `cargo xtask release`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to put the program; it is only built when absent.
    #[arg(long)]
    output: Option<PathBuf>,
}

/// Build it, and say where it lies.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let Args { output } = args;
    let built = gateway()?.join("clawdbot");
    let Some(output) = output else {
        println!("{}", built.display());
        return Ok(());
    };
    if let Some(parent) = output.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::copy(&built, output).with_context(|| format!("failed to write {}", output.display()))?;
    println!("{}", output.display());
    Ok(())
}

/// Build it; the result is where it lies.
pub(crate) fn gateway() -> anyhow::Result<PathBuf> {
    let tools = Tools::find()?;
    // Away from other builds, which have other flags.
    let directory = command::binaries("profile-guided")?;
    println!("  building the gateway to count what it does; the first time, that takes a while");
    let counts = directory.join("counts");
    let counting = tools.build(
        &directory.join("counting"),
        &format!("-Cprofile-generate={}", counts.display()),
    )?;
    let profile = directory.join(format!("{}.profdata", identity(&counting)?));
    if !profile.is_file() {
        // What was counted by an older program fits this one in part at most.
        for outdated in [&counts, &directory.join("guided")] {
            if outdated.exists() {
                fs::remove_dir_all(outdated)?;
            }
        }
        training::run(&counting)?;
        tools.merge(&counts, &profile)?;
    }
    println!("  building the gateway by what was counted");
    let flag = format!("-Cprofile-use={}", profile.display());
    tools.build(&directory.join("guided"), &flag)
}

/// A change of the program is one of its bytes.
fn identity(binaries: &Path) -> anyhow::Result<String> {
    let program = fs::read(binaries.join("clawdbot"))?;
    Ok(hex::encode(&Sha256::digest(program)[..8]))
}

/// What belongs to the compiler.
struct Tools {
    /// What it builds for. Named to cargo, so that flags are for the program and not for build scripts.
    target: String,
    /// Merges counts; only the version of the compiler's own LLVM reads them.
    merger: PathBuf,
}

impl Tools {
    fn find() -> anyhow::Result<Self> {
        let ask = |what| {
            let said = command::output(Command::new("rustc").args(["--print", what]))?;
            anyhow::Ok(said.trim().to_owned())
        };
        let merger = PathBuf::from(ask("target-libdir")?).with_file_name("bin/llvm-profdata");
        if !merger.is_file() {
            println!("  fetching the compiler's tools for profiles");
            command::run(Command::new("rustup").args(["component", "add", "llvm-tools"]))?;
        }
        Ok(Self {
            target: ask("host-tuple")?,
            merger,
        })
    }

    /// The same both times, and nothing but the program: what is built beside it, such as an example, would turn on
    /// features of what they share, and its counts would belong to symbols with other names.
    fn build(&self, directory: &Path, flag: &str) -> anyhow::Result<PathBuf> {
        let mut flags = std::env::var_os("RUSTFLAGS").unwrap_or_default();
        flags.push(OsString::from(format!(" {flag}")));
        let mut cargo = command::cargo();
        cargo.args(["build", "--locked", "--profile", PROFILE, "--bins"]);
        cargo.args(["--package", "clawdbot", "--target", &self.target]);
        cargo.arg("--target-dir").arg(directory);
        command::run(cargo.env("RUSTFLAGS", flags))?;
        Ok(directory.join(&self.target).join(PROFILE))
    }

    fn merge(&self, counts: &Path, profile: &Path) -> anyhow::Result<()> {
        let mut merge = Command::new(&self.merger);
        let not_loaded = format!("--no-function={}", ENGINE.join("|"));
        merge.args(["merge", &not_loaded, "--output"]).arg(profile);
        command::run(merge.arg(counts))
    }
}
