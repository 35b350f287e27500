//! What HTTP costs: the engine alone, and a gateway with the same model, in turn.

use std::{net::TcpListener, path::Path, time::Duration};

use anyhow::Context;
use claw_e2e::{process::Program, tools::cache, wait::until};
use serde_json::json;

use super::{Programs, report};
use crate::{
    bench::{processor_time::threads, samples::median},
    demo, fetch,
};

/// Loading a model takes a second.
const START_DEADLINE: Duration = Duration::from_mins(1);
/// Threads of the engine are named so, and those of the runtime after the engine's.
const ENGINE: &str = "model-";

/// What HTTP around the engine costs.
pub(super) struct BehindHttp {
    /// Tokens per second, of the engine's own in another process.
    pub(super) rate: f64,
    /// Of the gateway's processor time, what is not the engine's.
    pub(super) share: f64,
}

/// Measure both.
pub(super) fn measure(
    programs: &Programs,
    model: &Path,
    threads: u32,
    rounds: u32,
) -> anyhow::Result<BehindHttp> {
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
    let url = format!("http://{address}/v1/completions");
    let question = json!({"model": "smollm2", "prompt": "One, two,", "max_tokens": 1});
    let client = reqwest::Client::new();
    let started = demo::block_on(async {
        // With the model: loading it is no part of what is measured.
        let started = until(START_DEADLINE, async || {
            let answer = client.post(&url).json(&question).send().await;
            let is_answered = answer.is_ok_and(|answer| answer.status().is_success());
            (is_answered || gateway.ended().is_some()).then_some(())
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
    let before = spent(gateway.id())?;
    let report = report(&mut both)?;
    let after = spent(gateway.id())?;
    let (engine, all) = (after.0 - before.0, after.1 - before.1);
    let pairs = report["tokens_per_second"].as_array().context("rounds")?;
    let ratios: Option<Vec<f64>> = pairs
        .iter()
        .map(|pair| Some(pair[1].as_f64()? / pair[0].as_f64()?))
        .collect();
    let ratios = ratios.with_context(|| format!("a round has two rates: {report}"))?;
    Ok(BehindHttp {
        rate: median(ratios.into_iter()),
        share: 1.0 - engine / all,
    })
}

/// Processor seconds of the engine's threads, and of all.
fn spent(process: u32) -> anyhow::Result<(f64, f64)> {
    let (mut engine, mut all) = (0.0, 0.0);
    for (name, time) in threads(process)? {
        let seconds = time.as_secs_f64();
        all += seconds;
        if name.starts_with(ENGINE) {
            engine += seconds;
        }
    }
    Ok((engine, all))
}
