//! `cargo xtask bench`: against a peer on the same machine, in the same run, interleaved, medians and ratios.

mod inference;
mod samples;

use clap::Subcommand;

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Subcommand)]
enum Subject {
    /// Prefill and decode of the int8 model, one client, against onnxruntime-genai.
    Inference(inference::Args),
}

/// Run a benchmark.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let Args { subject } = args;
    match subject {
        Subject::Inference(args) => inference::run(args),
    }
}
