//! A proxy under test.

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::Context;
use claw_e2e::{
    process::{ChildProcess, Program},
    wait::until,
};

use super::Scenario;
use crate::demo;

/// Where the proxies run; clients and the API have the other processor.
const PROCESSOR: &str = "0";
/// LiteLLM takes its time.
const START_DEADLINE: Duration = Duration::from_mins(2);

/// A proxy that serves, or the API itself.
pub(super) struct Server {
    pub(super) name: String,
    pub(super) address: SocketAddr,
    /// Nothing for the API itself.
    pub(super) process: Option<ChildProcess>,
    /// Where it speaks TLS: the authority to trust.
    pub(super) ca: Option<PathBuf>,
}

impl Server {
    /// No proxy at all.
    pub(super) fn direct(upstream: SocketAddr) -> Self {
        Self {
            name: "(no proxy)".to_owned(),
            address: upstream,
            process: None,
            ca: None,
        }
    }

    pub(super) fn takes(&self, scenario: &Scenario<'_>) -> bool {
        self.ca.is_some() == scenario.tls
    }
}

/// Start a program on the proxies' processor, and wait until it takes connections.
pub(super) fn start(
    program: Program,
    directory: &std::path::Path,
    address: SocketAddr,
) -> anyhow::Result<ChildProcess> {
    let mut process = program.through(&pinned_to(PROCESSOR)).start(directory)?;
    let started = demo::block_on(async {
        let started = until(START_DEADLINE, async || {
            if process.ended().is_some() {
                return Some(false);
            }
            let connected = tokio::net::TcpStream::connect(address).await;
            connected.is_ok().then_some(true)
        });
        Ok(started.await)
    })?;
    match started {
        Some(true) => Ok(process),
        _ => Err(anyhow::anyhow!(process.log_tail(20)))
            .with_context(|| format!("nothing answers at {address}")),
    }
}

/// What starts a program on one processor; nothing where there is no choice.
pub(super) fn pinned_to(processor: &str) -> Vec<OsString> {
    if std::thread::available_parallelism().is_ok_and(|processors| processors.get() > 1) {
        ["taskset", "-c", processor].map(Into::into).into()
    } else {
        Vec::new()
    }
}

/// A port that was free a moment ago.
pub(super) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
