//! The API behind the gateway's remote models.

use std::{path::Path, time::Duration};

use anyhow::{Context, bail};
use claw_e2e::{
    process::{ChildProcess, Program},
    wait::until,
};

use crate::{demo, repository};

/// Starting a script takes a moment.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// A running API, which ends with us.
pub(super) struct ScriptedApi {
    _process: ChildProcess,
    port: u16,
}

impl ScriptedApi {
    /// Start the script on a free port.
    pub(super) fn start(python: &Path, script: &Path) -> anyhow::Result<Self> {
        let state = repository::root().join(".demo");
        std::fs::create_dir_all(&state)?;
        let port_file = state.join(format!("api-port-{}", std::process::id()));
        let mut process = Program::new("scripted-api", python)
            .args([script, &port_file])
            .start(&state)?;
        let port = demo::block_on(async {
            let found = until(START_DEADLINE, async || {
                if process.ended().is_some() {
                    return Some(None);
                }
                let text = std::fs::read_to_string(&port_file).ok()?;
                text.parse().ok().map(Some)
            });
            Ok(found.await)
        })?;
        let Some(port) = port.flatten() else {
            bail!("the scripted API did not start:\n{}", process.log_tail(20));
        };
        std::fs::remove_file(&port_file).context("failed to clean up")?;
        Ok(Self {
            _process: process,
            port,
        })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }
}
