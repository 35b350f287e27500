//! The engine against onnxruntime-genai, llama.cpp where that is installed, and onnxruntime: same weights, same threads, the same
//! requests. And against itself with HTTP around it.

mod embeddings;
mod genai;
mod http;
mod llama;

use std::{path::PathBuf, process::Command};

use anyhow::Context;
use serde_json::Value;

use super::samples::{Samples, median, table};
use crate::{command, demo, fetch};

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

/// What both sides report, and how it is shown: the name, the title, and what it is multiplied by.
const COMPARED: [(&str, &str, f64); 7] = [
    ("decode_1_tokens_per_second", "decode, 1 client, tok/s", 1.0),
    (
        "decode_8_tokens_per_second",
        "decode, 8 clients, tok/s",
        1.0,
    ),
    ("prefill_512_tokens_per_second", "prefill 512, tok/s", 1.0),
    (
        "arrivals_tokens_per_second",
        "arrivals by chance, tok/s",
        1.0,
    ),
    ("arrivals_gap_p99_seconds", "  between tokens, p99 ms", 1e3),
    (
        "arrivals_first_token_p50_seconds",
        "  first token, p50 ms",
        1e3,
    ),
    (
        "load_to_first_token_seconds",
        "load to first token, ms",
        1e3,
    ),
];

/// What only ours has.
const OURS: [(&str, &str); 9] = [
    (
        "decode_1_physical_limit",
        "decode that memory allows, tok/s",
    ),
    ("decode_1_of_limit", "  of which one client gets"),
    ("first_token_cold_seconds", "first token after 1,000, s"),
    (
        "first_token_cached_seconds",
        "  when others had that prompt, s",
    ),
    ("first_token_cached_times_faster", "  times faster"),
    (
        "extractive_plain_tokens_per_second",
        "copying, without guesses, tok/s",
    ),
    ("extractive_times_faster", "  with guesses, times faster"),
    (
        "open_ended_plain_tokens_per_second",
        "telling, without guesses, tok/s",
    ),
    ("open_ended_times_faster", "  with guesses, times faster"),
];

/// Measure and print.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let Args { rounds, threads } = *args;
    let programs = Programs::build()?;
    let model = demo::imported_models()?.join("smollm2");
    let peer = genai::Peer::prepare(&model)?;
    let mut llama = llama::Peer::find(&fetch::all()?.model);
    let embedder = embeddings::Both::prepare(&programs)?;

    let mut compared = COMPARED.map(|(_, title, _)| Samples::new(title));
    let mut alone = OURS.map(|_| Vec::new());
    let mut vectors = embeddings::samples();
    for round in 1..=rounds {
        let mut engine = programs.command("examples/bench_engine")?;
        engine.arg(&model).arg(threads.to_string()).arg("1");
        let our = report(&mut engine)?;
        let their = peer.measure(threads)?;
        if let Some(llama) = &mut llama {
            llama.measure(threads, &our)?;
        }
        embedder.measure(threads, &mut vectors)?;
        for ((name, _, scale), samples) in COMPARED.iter().zip(&mut compared) {
            let pair = (number(&our, name)? * scale, number(&their, name)? * scale);
            samples.pairs.push(pair);
        }
        for ((name, _), values) in OURS.iter().zip(&mut alone) {
            values.push(number(&our, name)?);
        }
        let (ours, theirs) = compared[0].pairs[compared[0].pairs.len() - 1];
        println!("  round {round} of {rounds}: decode {ours:.1} and {theirs:.1} tok/s");
    }
    println!(
        "\nint8, {threads} threads, {rounds} rounds, medians\n{}",
        table("onnxruntime-genai", &compared)
    );
    if let Some(llama) = &llama {
        println!("{}", table("llama.cpp, Q4_1", llama.samples()));
    }
    for ((_, title), values) in OURS.iter().zip(alone) {
        println!("{title:<36} {:>8.2}", median(values.into_iter()));
    }
    println!(
        "\nMiniLM, 32-bit, sentences of 4 to 60 words\n{}",
        table("onnxruntime, sorted", &vectors)
    );
    let http::BehindHttp { rate, share } = http::measure(&programs, &model, threads, rounds)?;
    println!(
        "eight clients over HTTP: {rate:.3} x the engine's own tokens/s (median of {rounds} rounds in turn); {:.1} % of \
         the gateway's processor time are not the engine's",
        share * 100.0
    );
    Ok(())
}

/// What is measured, built alike.
struct Programs {
    directory: PathBuf,
}

impl Programs {
    fn build() -> anyhow::Result<Self> {
        demo::build(&["clawdbot"])?;
        // In one go, so that both packages share what they depend on.
        let mut build = command::cargo();
        build.args(["build", "--locked", "--profile", "quick-release"]);
        build.args(["--package", "claw-inference", "--package", "clawdbot"]);
        build.args(["--bin", "clawdbot"]);
        for example in ["bench_engine", "bench_embed", "bench_local"] {
            build.args(["--example", example]);
        }
        command::run(&mut build)?;
        let directory = command::binaries("quick-release")?;
        Ok(Self { directory })
    }

    fn path(&self, program: &str) -> PathBuf {
        self.directory.join(program)
    }

    /// A program with ONNX Runtime.
    fn command(&self, program: &str) -> anyhow::Result<Command> {
        let mut command = Command::new(self.path(program));
        command.env("ORT_DYLIB_PATH", &fetch::all()?.runtime);
        Ok(command)
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
