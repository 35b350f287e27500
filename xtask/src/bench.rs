//! `cargo xtask bench`: against a peer on the same machine, in the same run, interleaved, medians and ratios; or, where
//! there is no peer, what many objects cost.

mod inference;
mod processor_time;
pub(crate) mod proxy;
mod samples;
pub(crate) mod scale;

use clap::Subcommand;

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Subcommand)]
enum Subject {
    /// Chats with a local model against onnxruntime-genai, embeddings against onnxruntime, and what HTTP adds.
    Inference(inference::Args),
    /// Requests and streams through the gateway, against nginx, Envoy and LiteLLM.
    Proxy(proxy::Args),
    /// The gateway under load for a long time, and many chats at once with a model in it.
    Soak(proxy::soak::Args),
    /// The operator with many gateways: time, writes, CPU and memory.
    Scale(scale::Args),
}

/// Run a benchmark.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let Args { subject } = args;
    match subject {
        Subject::Inference(args) => inference::run(args),
        Subject::Proxy(args) => proxy::run(args),
        Subject::Soak(args) => proxy::soak::run(args),
        Subject::Scale(args) => scale::run(args),
    }
}
