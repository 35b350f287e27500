//! The official OpenAI client for Python against a gateway that runs examples/ with the real model.

use std::process::Command;

use crate::{command, demo::Gateway, fetch, repository};

/// The newest release that was tried.
pub(crate) const CLIENT: &str = "openai==3.54.0";

/// Install the client, start the gateway, run the script.
pub(crate) fn run() -> anyhow::Result<()> {
    let python = fetch::python()?;
    if !command::output(Command::new(&python).args(["-m", "pip", "freeze"]))?
        .lines()
        .any(|line| line == CLIENT)
    {
        command::run(Command::new(&python).args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            CLIENT,
        ]))?;
    }
    let gateway = Gateway::start(0)?;
    command::run(
        Command::new(&python)
            .arg(repository::root().join("gateway/tests/openai_client.py"))
            .env("OPENAI_BASE_URL", format!("{}/v1", gateway.url()))
            .env("OPENAI_API_KEY", crate::demo::API_KEY)
            .env("SSL_CERT_FILE", gateway.ca_certificate()),
    )
}
