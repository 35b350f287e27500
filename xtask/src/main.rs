//! Project tasks: `cargo xtask --help`.
#![expect(
    clippy::print_stdout,
    reason = "telling what happens is what these commands are for"
)]

mod bench;
mod charts;
mod cluster;
mod command;
mod crds;
mod demo;
mod deploy;
mod fetch;
mod images;
mod monitoring;
mod rbac;
mod release;
mod repository;
mod test;

use clap::{Parser, Subcommand};

/// Build, try, test and measure the project.
#[derive(Parser)]
#[command(name = "cargo xtask", version)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Fetch a model, start the gateway from examples/ on port 18789, and chat with it.
    Demo(demo::Args),
    /// Run a Kubernetes cluster of one real node in namespaces of its own until Ctrl-C; needs root.
    Cluster,
    /// Build the container images.
    Images(images::Args),
    /// Build the gateway's program as it is released, by a profile of what it does under load.
    Release(release::Args),
    /// List the crates that a program is made of, as CycloneDX JSON.
    Sbom(images::sbom::Args),
    /// Run every check and test, or only the named stages.
    Test(test::Args),
    /// Measure against a peer, interleaved, in one run.
    Bench(bench::Args),
    /// Write the files generated from Rust: crds/*.yaml, the charts' copies, the operator's permissions.
    Crds(crds::Args),
    /// Fetch ONNX Runtime and the model, and print where they lie.
    Fetch,
}

fn main() -> anyhow::Result<()> {
    // Err means that somebody installed one before us: as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let Args { task } = Args::parse();
    match task {
        Task::Demo(args) => demo::run(&args),
        Task::Cluster => cluster::run(),
        Task::Images(args) => images::run(&args),
        Task::Release(args) => release::run(&args),
        Task::Sbom(args) => images::sbom::run(&args),
        Task::Test(args) => test::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Crds(args) => crds::run(&args),
        Task::Fetch => {
            let assets = fetch::all()?;
            println!("{}\n{}", assets.runtime.display(), assets.model.display());
            Ok(())
        }
    }
}
