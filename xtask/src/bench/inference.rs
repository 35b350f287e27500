//! The engine against onnxruntime-genai: same weights, same threads, one client.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;
use serde_json::Value;

use super::samples::{Samples, table};
use claw_e2e::tools::cache;

use crate::{command, demo, fetch, repository};

/// The peer and what preparing its model directory needs.
const PEER: [&str; 4] = [
    "onnxruntime-genai==0.18.0",
    // The release that we run, so that both use the same kernels.
    "onnxruntime==1.31.1",
    "onnx==1.23.2",
    "numpy==2.4.6",
];

/// Options of `cargo xtask bench inference`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How often both sides are measured, in turn.
    #[arg(long, default_value_t = 5)]
    rounds: u32,

    /// Threads of either side.
    #[arg(long, default_value_t = 2)]
    threads: u32,
}

/// Measure and print.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let Args { rounds, threads } = *args;
    let runtime = &fetch::all()?.runtime;
    demo::build(&["clawdbot"])?;
    let model = demo::imported_models()?.join("smollm2");
    let mut build = command::cargo();
    build.args([
        "build",
        "--locked",
        "--profile",
        "quick-release",
        "--package",
        "claw-inference",
        "--example",
        "bench_decode",
    ]);
    command::run(&mut build)?;
    let ours = command::binaries("quick-release")?.join("examples/bench_decode");
    let peer = Peer::prepare(&model)?;

    let mut decode = Samples::new("decode 128 after 128, tok/s");
    let mut prefill = Samples::new("prefill 512, tok/s");
    for round in 1..=rounds {
        let our = report(
            Command::new(&ours)
                .arg(&model)
                .arg(threads.to_string())
                .env("ORT_DYLIB_PATH", runtime),
        )?;
        let their = peer.measure(threads)?;
        let pair = |name: &str| -> anyhow::Result<(f64, f64)> {
            Ok((number(&our, name)?, number(&their, name)?))
        };
        let (ours, theirs) = pair("decode_tokens_per_second")?;
        println!("  round {round} of {rounds}: decode {ours:.1} and {theirs:.1} tok/s");
        decode.pairs.push((ours, theirs));
        prefill.pairs.push(pair("prefill_tokens_per_second")?);
    }
    println!(
        "\nint8, {threads} threads, {rounds} rounds, medians\n{}",
        table("onnxruntime-genai", &[decode, prefill])
    );
    Ok(())
}

struct Peer {
    python: PathBuf,
    script: PathBuf,
    model: PathBuf,
}

impl Peer {
    /// The peer with our own import, rewritten to its inputs: the very same weights.
    fn prepare(imported: &Path) -> anyhow::Result<Self> {
        let python = fetch::python()?;
        let mut install = Command::new(&python);
        install.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]);
        command::run(install.args(PEER))?;
        let script = repository::root().join("inference/bench/bench_genai.py");
        let model = cache::directory("bench")?.join("genai-int8");
        command::run(
            Command::new(&python)
                .arg(&script)
                .arg("--prepare")
                .arg(imported)
                .arg(&model),
        )?;
        Ok(Self {
            python,
            script,
            model,
        })
    }

    fn measure(&self, threads: u32) -> anyhow::Result<Value> {
        report(
            Command::new(&self.python)
                .arg(&self.script)
                .arg(&self.model)
                .arg(threads.to_string()),
        )
    }
}

fn report(command: &mut Command) -> anyhow::Result<Value> {
    let output = command::output(command)?;
    let line = output
        .lines()
        .last()
        .context("a benchmark prints its report on its last line")?;
    Ok(serde_json::from_str(line)?)
}

fn number(report: &Value, name: &str) -> anyhow::Result<f64> {
    report[name]
        .as_f64()
        .with_context(|| format!("the report has no {name}: {report}"))
}
