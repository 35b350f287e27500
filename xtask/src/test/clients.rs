//! The official clients against real gateways: OpenAI's for Python and Node, Anthropic's for Python.
//!
//! One gateway runs examples/ with the real model; another one serves the real model and a scripted API, so that every
//! endpoint and every class of errors can be driven.

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
    let scripts = tests.join("clients");
    let api = ScriptedApi::start(&packages.python, &scripts.join("upstream.py"))?;
    let manifests = manifests(&scripts, api.port())?;
    let gateway = Gateway::start_on(&manifests, "default-clients")?;
    let (url, ca) = (gateway.url(), gateway.ca_certificate());
    command::run(
        Command::new(&packages.python)
            .arg(scripts.join("openai_endpoints.py"))
            .env("OPENAI_BASE_URL", format!("{url}/v1"))
            .env("OPENAI_API_KEY", "clients-key-of-openai-for-python")
            .env("SSL_CERT_FILE", ca),
    )?;
    command::run(
        Command::new(&packages.python)
            .arg(scripts.join("local_model.py"))
            .env("OPENAI_BASE_URL", format!("{url}/v1"))
            .env("OPENAI_API_KEY", "clients-key-of-openai-for-python")
            .env("SSL_CERT_FILE", ca),
    )?;
    command::run(
        Command::new(&packages.python)
            .arg(scripts.join("anthropic_endpoints.py"))
            .env("ANTHROPIC_BASE_URL", &url)
            .env("ANTHROPIC_API_KEY", "clients-key-of-anthropic-for-python")
            .env("SSL_CERT_FILE", ca),
    )?;
    command::run(
        Command::new(&packages.node)
            .arg(scripts.join("openai_endpoints.mjs"))
            .env("CLAW_NODE", &packages.node_modules)
            .env("OPENAI_BASE_URL", format!("{url}/v1"))
            .env("OPENAI_API_KEY", "clients-key-of-openai-for-node")
            .env("NODE_EXTRA_CA_CERTS", ca),
    )?;
    // The description that this very gateway serves, against the schema of OpenAPI 3.1.
    command::run(
        Command::new(&packages.python)
            .arg(scripts.join("openapi_document.py"))
            .arg(format!("{url}/openapi.json"))
            .env("SSL_CERT_FILE", ca),
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
