//! What HTTP costs: the engine alone, and a gateway with the same model, in turn.

use std::{net::TcpListener, path::Path, time::Duration};

use anyhow::Context;
use claw_e2e::{process::Program, tools::cache, wait::until};

use super::{Programs, report};
use crate::{bench::samples::median, demo, fetch};

/// Loading a model takes a second.
const START_DEADLINE: Duration = Duration::from_mins(1);

/// Tokens per second over HTTP, of the engine's.
pub(super) fn measure(
    programs: &Programs,
    model: &Path,
    threads: u32,
    rounds: u32,
) -> anyhow::Result<f64> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let directory = cache::directory("bench")?;
    let program = Program::new("gateway", programs.path("clawdbot"))
        .args(["gateway", "--bind", "127.0.0.1", "--management-port", "0"])
        .args(["--port", &address.port().to_string(), "--allow-anonymous"])
        .args(["--model", &format!("smollm2={}", model.display())])
        .args([
            "--state-dir".into(),
            directory.join("state").into_os_string(),
        ])
        .env("ORT_DYLIB_PATH", &fetch::all()?.runtime);
    let mut gateway = program.start(&directory)?;
    let started = demo::block_on(async {
        let started = until(START_DEADLINE, async || {
            let connected = tokio::net::TcpStream::connect(address).await;
            (connected.is_ok() || gateway.ended().is_some()).then_some(())
        });
        Ok(started.await)
    })?;
    if started.is_none() || gateway.ended().is_some() {
        anyhow::bail!("the gateway does not start: {}", gateway.log_tail(20));
    }
    let mut both = programs.command("examples/bench_local")?;
    both.arg(model).arg(address.to_string());
    both.args(["--threads", &threads.to_string()]);
    both.args(["--rounds", &rounds.to_string()]);
    let report = report(&mut both)?;
    let pairs = report["tokens_per_second"].as_array().context("rounds")?;
    let ratios: Option<Vec<f64>> = pairs
        .iter()
        .map(|pair| Some(pair[1].as_f64()? / pair[0].as_f64()?))
        .collect();
    let ratios = ratios.with_context(|| format!("a round has two rates: {report}"))?;
    Ok(median(ratios.into_iter()))
}
