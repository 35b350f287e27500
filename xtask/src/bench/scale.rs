//! The operator with many gateways, on a real API server: the scenario is `e2e/tests/scale`.

use crate::command;

/// Options of `cargo xtask bench scale`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many ClawGateways, each with a route and a channel.
    #[arg(long, default_value_t = 1000)]
    gateways: u32,

    /// For how long nobody may write anything afterwards.
    #[arg(long, default_value_t = 600)]
    quiet_seconds: u32,
}

impl Args {
    /// As part of all tests: as many gateways, and less patience.
    pub(crate) fn test() -> Self {
        Self {
            gateways: 1000,
            quiet_seconds: 60,
        }
    }
}

/// Build the operator with optimization, as it is shipped, and play the scenario.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    const PROFILE: &str = "quick-release";
    let Args {
        gateways,
        quiet_seconds,
    } = args;
    command::run(command::cargo().args([
        "build",
        "--locked",
        "--profile",
        PROFILE,
        "--package",
        "claw-operator",
    ]))?;
    command::run(
        command::cargo()
            .args([
                "test",
                "--locked",
                "--package",
                "claw-e2e",
                "--test",
                "scale",
            ])
            .env(
                "CLAW_SCALE_OPERATOR",
                command::binaries(PROFILE)?.join("claw-operator"),
            )
            .env("CLAW_SCALE_GATEWAYS", gateways.to_string())
            .env("CLAW_SCALE_QUIET_SECONDS", quiet_seconds.to_string()),
    )
}
