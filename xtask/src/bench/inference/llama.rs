//! The peer for chats that is measured where it is installed: llama.cpp, by its own benchmarks, on the GGUF file that both
//! others were imported from.

use std::{path::Path, process::Command};

use anyhow::Context;
use claw_e2e::process;
use serde_json::Value;

use super::Samples;
use crate::command;

const SINGLE: &str = "llama-bench";
const BATCHED: &str = "llama-batched-bench";

/// The names of our figures, what llama.cpp's benchmarks measure of them, and their titles.
const COMPARED: [(&str, &str); 3] = [
    ("decode_1_tokens_per_second", "decode, 1 client, tok/s"),
    ("decode_8_tokens_per_second", "decode, 8 clients, tok/s"),
    ("prefill_512_tokens_per_second", "prefill 512, tok/s"),
];

/// llama.cpp's figures beside ours.
pub(super) struct Peer<'a> {
    model: &'a Path,
    samples: [Samples; 3],
}

impl<'a> Peer<'a> {
    /// None where its programs are not on the path.
    pub(super) fn find(model: &'a Path) -> Option<Self> {
        if let Some(missing) = [SINGLE, BATCHED]
            .iter()
            .find(|name| process::find_in_path(name).is_none())
        {
            println!("  {missing} is not on the path: llama.cpp is left out");
            return None;
        }
        Some(Self {
            model,
            samples: COMPARED.map(|(_, title)| Samples::new(title)),
        })
    }

    /// Measures a round, beside ours of the same round.
    pub(super) fn measure(&mut self, threads: u32, our: &Value) -> anyhow::Result<()> {
        let threads = threads.to_string();
        let mut single = Command::new(SINGLE);
        single.arg("-m").arg(self.model).args(["-t", &threads]);
        single.args(["-p", "512", "-n", "128", "-r", "3", "-o", "json"]);
        let mut batched = Command::new(BATCHED);
        batched.arg("-m").arg(self.model).args(["-t", &threads]);
        batched.args(["-c", "4096", "-npp", "128", "-ntg", "128", "-npl", "8"]);
        batched.args(["--output-format", "jsonl"]);
        let [decode, prefill] = single_figures(&command::output(&mut single)?)?;
        let together = batched_figure(&command::output(&mut batched)?)?;
        let theirs = [decode, together, prefill];
        for (((name, _), samples), theirs) in COMPARED.iter().zip(&mut self.samples).zip(theirs) {
            samples.pairs.push((super::number(our, name)?, theirs));
        }
        Ok(())
    }

    pub(super) fn samples(&self) -> &[Samples] {
        &self.samples
    }
}

/// Tokens per second of an answer and of a prompt.
fn single_figures(report: &str) -> anyhow::Result<[f64; 2]> {
    let tests: Vec<Value> =
        serde_json::from_str(report).with_context(|| format!("{SINGLE} prints a JSON array"))?;
    let of = |field: &str| {
        let test = tests.iter().find(|test| test[field].as_u64() > Some(0));
        let pace = test.and_then(|test| test["avg_ts"].as_f64());
        pace.with_context(|| format!("{SINGLE} reports no avg_ts with {field}"))
    };
    Ok([of("n_gen")?, of("n_prompt")?])
}

/// Tokens per second of all answers together.
fn batched_figure(report: &str) -> anyhow::Result<f64> {
    let mut lines = report.lines().filter(|line| line.starts_with('{'));
    let line = lines
        .next_back()
        .with_context(|| format!("{BATCHED} prints JSON lines"))?;
    let test: Value = serde_json::from_str(line)?;
    let pace = test["speed_tg"].as_f64();
    pace.with_context(|| format!("{BATCHED} reports no speed_tg: {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_reports_are_understood() {
        let report = r#"[{"n_prompt": 512, "n_gen": 0, "avg_ts": 290.5}, {"n_prompt": 0, "n_gen": 128, "avg_ts": 88.25}]"#;
        let figures = single_figures(report).expect("a report");
        assert_eq!(figures.map(f64::to_bits), [88.25, 290.5].map(f64::to_bits));
        assert!(single_figures("[]").is_err());
        let report = "main: ready\n{\"pp\": 128, \"tg\": 128, \"pl\": 8, \"speed_pp\": 280.0, \"speed_tg\": 171.5, \"speed\": 200.0}\n";
        assert!((batched_figure(report).expect("a report") - 171.5).abs() < 1e-9);
        assert!(batched_figure("nothing").is_err());
    }
}
