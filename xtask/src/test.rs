//! `cargo xtask test`: every check, in stages, each with its time.

mod clients;
mod node;

use std::time::{Duration, Instant};

use anyhow::Context;
use claw_e2e::tools::Tool;
pub(crate) use clients::CLIENT;

use crate::{bench::scale, command, crds, fetch};

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these stages; all when none is named.
    #[arg(value_enum)]
    stages: Vec<Stage>,

    /// All but the stages that take long: scale, and node, which needs root and Linux packages, too.
    #[arg(long, conflicts_with = "stages")]
    quick: bool,

    /// Of the stage node, only the tests whose name contains this.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
}

/// One stage; they run in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Stage {
    /// rustfmt.
    Format,
    /// Generated files against their source.
    Generated,
    /// ONNX Runtime, the model, PostgreSQL, and the programs that tests start: fetched and built where missing.
    Assets,
    /// clippy and the lint table, warnings denied.
    Lint,
    /// The programs that later stages run.
    Build,
    /// Unit and component tests, and those with the real model.
    Test,
    /// rustdoc, warnings denied.
    Docs,
    /// The real API server: admission, operator, and the loop to a served answer.
    ControlPlane,
    /// The official clients of OpenAI and Anthropic against gateways over TLS.
    Clients,
    /// A thousand gateways on a real API server.
    Scale,
    /// Containers on a real node: images, Helm, probes, faults. Needs root.
    Node,
}

const ALL: [Stage; 11] = [
    Stage::Format,
    Stage::Generated,
    Stage::Assets,
    Stage::Lint,
    Stage::Build,
    Stage::Test,
    Stage::Docs,
    Stage::ControlPlane,
    Stage::Clients,
    Stage::Scale,
    Stage::Node,
];

/// Run the stages; the first failure ends the run.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let Args {
        stages,
        quick,
        filter,
    } = args;
    let stages: Vec<Stage> = if stages.is_empty() {
        let is_wanted = |stage: &Stage| !quick || !matches!(stage, Stage::Scale | Stage::Node);
        ALL.into_iter().filter(is_wanted).collect()
    } else {
        stages.clone()
    };
    let mut times: Vec<(Stage, Duration)> = Vec::new();
    for stage in &stages {
        println!("\n=== {} ===", title(*stage));
        let start = Instant::now();
        let outcome = execute(*stage, filter.as_deref());
        times.push((*stage, start.elapsed()));
        if let Err(error) = outcome {
            report(&times);
            return Err(error.context(format!("stage {} failed", title(*stage))));
        }
    }
    report(&times);
    println!("all {} stages passed", times.len());
    Ok(())
}

fn execute(stage: Stage, filter: Option<&str>) -> anyhow::Result<()> {
    match stage {
        Stage::Format => command::run(command::cargo().args(["fmt", "--all", "--check"])),
        Stage::Generated => crds::run(&crds::Args::check()),
        Stage::Assets => assets(),
        Stage::Lint => command::run(command::cargo().args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ])),
        Stage::Build => {
            command::run(command::cargo().args(["build", "--workspace", "--bins", "--locked"]))
        }
        Stage::Test => with_model(command::cargo().args([
            "test",
            "--workspace",
            "--exclude",
            "claw-e2e",
            "--locked",
        ])),
        Stage::Docs => command::run(
            command::cargo()
                .args(["doc", "--workspace", "--no-deps", "--locked", "--quiet"])
                .env("RUSTDOCFLAGS", "-D warnings"),
        ),
        Stage::ControlPlane => {
            with_model(command::cargo().args(["test", "--package", "claw-e2e", "--locked"]))
        }
        Stage::Clients => clients::run(),
        Stage::Scale => scale::run(&scale::Args::test()),
        Stage::Node => node::run(filter),
    }
}

fn assets() -> anyhow::Result<()> {
    fetch::all()?;
    fetch::postgres()?;
    Tool::find_or_build_all(Tool::ALL, &mut |line| println!("  {line}"))
        .context("failed to get the programs that tests start")?;
    Ok(())
}

/// Run tests with the real model: it must be there, so nothing is skipped.
fn with_model(command: &mut std::process::Command) -> anyhow::Result<()> {
    let fetch::Assets { runtime, model } = fetch::all()?;
    let models = model.parent().context("the model lies in a folder")?;
    command::run(
        command
            .env("ORT_DYLIB_PATH", runtime)
            .env("CLAW_TEST_MODELS", models)
            .env("CLAW_TEST_REQUIRE_MODEL", "1")
            .env("CLAW_BIN_DIR", command::binaries("debug")?),
    )
}

fn title(stage: Stage) -> &'static str {
    match stage {
        Stage::Format => "format",
        Stage::Generated => "generated",
        Stage::Assets => "assets",
        Stage::Lint => "lint",
        Stage::Build => "build",
        Stage::Test => "test",
        Stage::Docs => "docs",
        Stage::ControlPlane => "control-plane",
        Stage::Clients => "clients",
        Stage::Scale => "scale",
        Stage::Node => "node",
    }
}

fn report(times: &[(Stage, Duration)]) {
    println!("\nstage            seconds");
    for (stage, time) in times {
        println!("{:<14} {:>9.1}", title(*stage), time.as_secs_f64());
    }
    let total: Duration = times.iter().map(|(_, time)| *time).sum();
    println!("{:<14} {:>9.1}", "total", total.as_secs_f64());
}
