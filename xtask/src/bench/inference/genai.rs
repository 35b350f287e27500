//! The peer for chats: onnxruntime-genai.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use claw_e2e::tools::cache;
use serde_json::Value;

use super::report;
use crate::{command, fetch, repository};

/// The peer and what preparing its model directory needs.
const PEER: [&str; 4] = [
    "onnxruntime-genai==0.18.0",
    // The release that we run, so that both use the same kernels.
    "onnxruntime==1.31.1",
    "onnx==1.23.2",
    "numpy==2.4.6",
];

pub(super) struct Peer {
    python: PathBuf,
    script: PathBuf,
    model: PathBuf,
}

impl Peer {
    /// The peer with our own import, rewritten to its inputs: the very same weights.
    pub(super) fn prepare(imported: &Path) -> anyhow::Result<Self> {
        let python = fetch::python_with(&PEER)?;
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

    pub(super) fn measure(&self, threads: u32) -> anyhow::Result<Value> {
        report(
            Command::new(&self.python)
                .arg(&self.script)
                .arg(&self.model)
                .arg(threads.to_string()),
        )
    }
}
