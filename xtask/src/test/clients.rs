//! The official clients against real gateways: OpenAI's for Python and Node, Anthropic's for Python.
//!
//! One gateway runs examples/ with the real model; another one serves the real model and a scripted API, so that every
//! endpoint and every class of errors can be driven, for Python over HTTP/1.1 and HTTP/2. A third one serves an API that
//! fails in all ways (`gateway/tests/gateway/failure_points/official_clients.rs`).

mod packages;
mod scripted_api;

use std::{path::Path, process::Command};

use anyhow::Context;

use crate::{command, demo::Gateway, repository};
use packages::Packages;
use scripted_api::ScriptedApi;

pub(crate) use packages::CLIENT;

/// Install the clients, start the gateways, run the scripts.
pub(crate) fn run() -> anyhow::Result<()> {
    let packages = Packages::install()?;
    let tests = repository::root().join("gateway/tests");
    {
        let gateway = Gateway::start(0)?;
        command::run(
            Command::new(&packages.python)
                .arg(tests.join("openai_client.py"))
                .env("OPENAI_BASE_URL", format!("{}/v1", gateway.url()))
                .env("OPENAI_API_KEY", crate::demo::API_KEY)
                .env("SSL_CERT_FILE", gateway.ca_certificate()),
        )?;
    }
    endpoints(&packages, &tests.join("clients"))?;
    failures(&packages)
}

/// Every endpoint and every class of errors.
fn endpoints(packages: &Packages, scripts: &Path) -> anyhow::Result<()> {
    let api = ScriptedApi::start(&packages.python, &scripts.join("upstream.py"))?;
    let manifests = manifests(scripts, api.port())?;
    let gateway = Gateway::start_on(&manifests, "default-clients")?;
    let url = gateway.url();
    let drive = |program: &Path, script: &str, arguments: &[&str], key: &str| {
        println!("  {script} {}", arguments.join(" "));
        command::run(
            Command::new(program)
                .arg(scripts.join(script))
                .args(arguments)
                .env("OPENAI_BASE_URL", format!("{url}/v1"))
                .env("OPENAI_API_KEY", key)
                .env("ANTHROPIC_BASE_URL", &url)
                .env("ANTHROPIC_API_KEY", key)
                .env("SSL_CERT_FILE", gateway.ca_certificate())
                .env("NODE_EXTRA_CA_CERTS", gateway.ca_certificate())
                .env("CLAW_NODE", &packages.node_modules),
        )
    };
    let Packages { python, node, .. } = packages;
    for version in ["1.1", "2"] {
        let openai = "clients-key-of-openai-for-python";
        drive(python, "openai_endpoints.py", &[version], openai)?;
        let anthropic = "clients-key-of-anthropic-for-python";
        drive(python, "anthropic_endpoints.py", &[version], anthropic)?;
    }
    let key = "clients-key-of-the-local-model";
    drive(python, "local_model.py", &[], key)?;
    let key = "clients-key-of-openai-for-node";
    drive(node, "openai_endpoints.mjs", &[], key)?;
    // The description that this very gateway serves, against the schema of OpenAPI 3.1.
    let description = format!("{url}/openapi.json");
    drive(python, "openapi_document.py", &[&description], "")
}

/// Every point at which an API can fail. The test tells what it needs.
fn failures(packages: &Packages) -> anyhow::Result<()> {
    command::run(
        command::cargo()
            .args([
                "test",
                "--package",
                "clawdbot",
                "--test",
                "gateway",
                "--locked",
            ])
            .args(["--", "--ignored", "official_client"])
            .env("CLAW_TEST_PYTHON", &packages.python)
            .env("CLAW_TEST_NODE", &packages.node)
            .env("CLAW_NODE", &packages.node_modules),
    )
}

/// The gateway's manifests with the port of the scripted API, in a folder of their own.
fn manifests(scripts: &Path, port: u16) -> anyhow::Result<std::path::PathBuf> {
    let folder = repository::root().join(".demo/clients");
    std::fs::create_dir_all(&folder)?;
    let template = std::fs::read_to_string(scripts.join("gateway.yaml"))
        .context("failed to read the gateway's manifests")?;
    std::fs::write(
        folder.join("gateway.yaml"),
        template.replace("PORT", &port.to_string()),
    )?;
    Ok(folder)
}
