//! Both ends of the measurement: the API, and the clients.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context;
use serde_json::Value;

use super::{
    Scenario,
    server::{Server, pinned_to},
};
use claw_e2e::wait::until;

use crate::{
    bench::processor_time::{processor_time, resident_mebibytes},
    command, demo,
};

/// Cargo's profile of clients and the API: quick enough for both.
const PROFILE: &str = "quick-release";
/// Where clients and the API run.
const PROCESSOR: &str = "1";

/// Memory that does not get less for so long is what is needed.
const SETTLED: Duration = Duration::from_secs(8);
/// And this comes to an end.
const SETTLING: Duration = Duration::from_mins(2);

/// Where the program is that [`Ends::start`] builds.
pub(super) fn program() -> anyhow::Result<PathBuf> {
    Ok(command::binaries(PROFILE)?.join("examples/bench_proxy"))
}

/// What one measurement showed.
pub(super) struct Figures {
    pub(super) requests: f64,
    pub(super) requests_per_second: f64,
    pub(super) chunks_per_second: f64,
    /// Processor seconds of the proxy for 1,000 requests; nothing without a proxy.
    pub(super) processor_seconds: Option<f64>,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) first_byte_p50_ms: f64,
}

/// The API, and what clients are made of.
pub(super) struct Ends {
    program: PathBuf,
    pub(super) upstream: SocketAddr,
    _api: OneOfOurs,
}

/// Ended when dropped.
struct OneOfOurs(Child);

impl Drop for OneOfOurs {
    fn drop(&mut self) {
        // It may have ended already; there is nobody to tell anyway.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Ends {
    /// Build both, and start the API.
    pub(super) fn start(directory: &Path) -> anyhow::Result<Self> {
        let mut build = command::cargo();
        build.args(["build", "--locked", "--profile", PROFILE]);
        build.args(["--package", "clawdbot", "--example", "bench_proxy"]);
        command::run(&mut build)?;
        let program = program()?;
        let log = std::fs::File::create(directory.join("upstream.log"))?;
        let mut api = pinned(&program);
        api.arg("upstream").stderr(log);
        let (api, mut lines) = spawn(&mut api)?;
        let upstream = line(&mut lines)?.parse()?;
        Ok(Self {
            program,
            upstream,
            _api: api,
        })
    }

    /// Ask a server, and see what that takes.
    pub(super) fn measure(
        &self,
        server: &Server,
        scenario: &Scenario<'_>,
        duration: Duration,
    ) -> anyhow::Result<Figures> {
        let process = server
            .process
            .as_ref()
            .map(claw_e2e::process::ChildProcess::id);
        let before = process.map(processor_time).transpose()?;
        let mut load = pinned(&self.program);
        load.arg("load").arg(server.address.to_string());
        load.args(["--seconds", &duration.as_secs_f64().to_string()]);
        load.args(scenario.options);
        if let Some(ca) = &server.ca {
            load.arg("--ca").arg(ca);
        }
        let seen: Value = serde_json::from_str(&command::output(&mut load)?)?;
        let after = process.map(processor_time).transpose()?;
        let number = |name: &str| {
            seen[name]
                .as_f64()
                .with_context(|| format!("the load generator tells no {name}: {seen}"))
        };
        let (seconds, requests) = (number("seconds")?, number("requests")?);
        Ok(Figures {
            requests,
            requests_per_second: requests / seconds,
            chunks_per_second: number("chunks")? / seconds,
            processor_seconds: after.zip(before).map(|(after, before)| {
                after.saturating_sub(before).as_secs_f64() * 1000.0 / requests
            }),
            p50_ms: number("p50_ms")?,
            p99_ms: number("p99_ms")?,
            first_byte_p50_ms: number("first_byte_p50_ms")?,
        })
    }

    /// Resident memory in MiB, before and while that many connections are open.
    pub(super) fn idle(&self, server: &Server, connections: usize) -> anyhow::Result<(f64, f64)> {
        let process = server.process.as_ref().context("a proxy")?.id();
        let before = resident_mebibytes(process)?;
        let mut idle = pinned(&self.program);
        idle.arg("idle").arg(server.address.to_string());
        idle.arg(connections.to_string()).stdin(Stdio::piped());
        let (_clients, mut lines) = spawn(&mut idle)?;
        line(&mut lines)?;
        // Connections that wait give memory back after a while.
        let (mut least, mut since) = (f64::MAX, Instant::now());
        demo::block_on(async {
            let settled = until(SETTLING, async || {
                let now = resident_mebibytes(process).ok()?;
                if now < least {
                    (least, since) = (now, Instant::now());
                }
                (since.elapsed() >= SETTLED).then_some(())
            });
            settled.await.context("its memory does not settle")
        })?;
        Ok((before, least))
    }
}

fn pinned(program: &Path) -> Command {
    let mut words = pinned_to(PROCESSOR);
    words.push(program.into());
    let mut words = words.into_iter();
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    command
}

fn spawn(command: &mut Command) -> anyhow::Result<(OneOfOurs, BufReader<ChildStdout>)> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .context("failed to start taskset, of util-linux")?;
    let output = child.stdout.take().context("its output is piped")?;
    Ok((OneOfOurs(child), BufReader::new(output)))
}

fn line(lines: &mut BufReader<ChildStdout>) -> anyhow::Result<String> {
    let mut line = String::new();
    lines.read_line(&mut line)?;
    anyhow::ensure!(!line.is_empty(), "the other end said nothing");
    Ok(line.trim().to_owned())
}
