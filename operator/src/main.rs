//! `claw-operator`: arguments, signals, exit code.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, error::ErrorKind};
use claw_operator::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// EX_USAGE: the arguments are wrong.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Nothing can be done about a closed terminal.
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
                _ => ExitCode::from(USAGE),
            };
        }
    };
    match start(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            let usage = error
                .downcast_ref::<claw_operator::Error>()
                .is_some_and(claw_operator::Error::is_usage);
            ExitCode::from(if usage { USAGE } else { 1 })
        }
    }
}

#[expect(clippy::print_stderr, reason = "logging may not be set up yet")]
fn complain(error: &anyhow::Error) {
    eprintln!("claw-operator: {error:#}");
}

fn start(args: Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("failed to start the runtime")?;
    runtime.block_on(async {
        let shutdown = CancellationToken::new();
        let mut terminate = signal(SignalKind::terminate()).context("failed to watch signals")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("failed to watch signals")?;
        let tasks = TaskTracker::new();
        let stop = shutdown.clone();
        tasks.spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("stopping");
            stop.cancel();
        });
        claw_operator::run(args, shutdown).await?;
        Ok(())
    })
}
