//! Embeddings: ours, and text-embeddings-inference's method with the same weights.

use std::{path::PathBuf, process::Command};

use anyhow::Context;
use claw_e2e::tools::cache;

use super::{Programs, report};
use crate::{bench::samples::Samples, command, fetch, repository};

/// What the peer is made of; the release of the runtime is ours.
const PEER: [&str; 5] = [
    "onnxruntime==1.31.1",
    "onnx==1.23.2",
    "tokenizers==0.23.3",
    "safetensors==0.8.0",
    "numpy==2.4.6",
];
/// Clients at once, as both programs have them.
const CLIENTS: [(&str, &str); 3] = [
    ("1", "1 client, sentences/s"),
    ("8", "8 clients, sentences/s"),
    ("32", "32 clients, sentences/s"),
];
/// Words to make sentences of.
const TEXT: &str = "inference/src/quality/text.txt";

/// The same encoder for both sides.
pub(super) struct Both {
    ours: PathBuf,
    our_model: PathBuf,
    runtime: PathBuf,
    python: PathBuf,
    peer_model: PathBuf,
}

pub(super) fn samples() -> Vec<Samples> {
    let samples = CLIENTS.iter().map(|(_, title)| Samples::new(title));
    samples.collect()
}

impl Both {
    pub(super) fn prepare(programs: &Programs) -> anyhow::Result<Self> {
        let assets = fetch::all()?;
        let published = cache::directory("models")?.join("minilm");
        let directory = cache::directory("bench")?;
        let our_model = directory.join("minilm");
        let mut import = programs.command("clawdbot")?;
        import.args(["model", "import", "--quantization", "none", "--update"]);
        command::run(import.args([&published, &our_model]))?;
        let python = fetch::python_with(&PEER)?;
        let peer_model = directory.join("minilm-onnx");
        let mut export = Command::new(&python);
        export.arg(repository::root().join("inference/bench/export_bert.py"));
        command::run(export.args([&published, &peer_model]))?;
        Ok(Self {
            ours: programs.path("examples/bench_embed"),
            our_model,
            runtime: assets.runtime.clone(),
            python,
            peer_model,
        })
    }

    pub(super) fn measure(&self, threads: u32, samples: &mut [Samples]) -> anyhow::Result<()> {
        let root = repository::root();
        let text = root.join(TEXT);
        let mut ours = Command::new(&self.ours);
        ours.env("ORT_DYLIB_PATH", &self.runtime);
        ours.args([&self.our_model, &text]).arg(threads.to_string());
        let ours = report(&mut ours)?;
        let mut theirs = Command::new(&self.python);
        theirs.arg(root.join("inference/bench/onnxruntime_embed.py"));
        theirs
            .args([&self.peer_model, &text])
            .arg(threads.to_string());
        let theirs = report(&mut theirs)?;
        for ((clients, _), samples) in CLIENTS.iter().zip(samples) {
            let rate = |report: &serde_json::Value| {
                report["sentences_per_second"][clients]
                    .as_f64()
                    .with_context(|| format!("the report has no rate of {clients}: {report}"))
            };
            samples.pairs.push((rate(&ours)?, rate(&theirs)?));
        }
        Ok(())
    }
}
