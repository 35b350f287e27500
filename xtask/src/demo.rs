//! `cargo xtask demo`: from a fresh clone to a real answer, in one command.

mod chat;
mod cluster;
mod gateway_process;
mod tls;
mod web_socket;

use std::time::Instant;

pub(crate) use gateway_process::{Gateway, imported_models};

use crate::{command, fetch};

/// The key in examples/secrets.yaml.
pub(crate) const API_KEY: &str = "demo-key-replace-me-before-use";
const QUESTION: &str = "What is the capital of France?";

/// Options of `cargo xtask demo`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run a Kubernetes API server and the operator too: the gateway then serves what the operator rendered.
    #[arg(long)]
    cluster: bool,

    /// Stop after the answers instead of serving on until Ctrl-C.
    #[arg(long)]
    once: bool,

    /// Port of the gateway.
    #[arg(long, default_value_t = claw_crds::GATEWAY_PORT)]
    port: u16,
}

/// Fetch, build, start, chat, and serve on.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let Args {
        cluster,
        once,
        port,
    } = *args;
    let start = Instant::now();
    if cluster {
        return cluster::run(once, port);
    }
    step(1, "fetch ONNX Runtime and a small real model");
    fetch::all()?;
    step(2, "build clawdbot (a few minutes the first time)");
    build(&["clawdbot"])?;
    step(3, "import the model and start the gateway from examples/");
    let gateway = Gateway::start(port)?;
    println!(
        "  serving {} as of {:.1} s",
        gateway.url(),
        start.elapsed().as_secs_f64()
    );
    converse(&gateway)?;
    println!("\nDone in {:.1} s.", start.elapsed().as_secs_f64());
    if once {
        return Ok(());
    }
    what_next(&gateway);
    gateway.serve_until_interrupted()
}

/// Ask by HTTP and by WebSocket.
fn converse(gateway: &Gateway) -> anyhow::Result<()> {
    step(
        4,
        "chat: POST /api/v1/chat (its first model cannot be reached, so the fallback answers)",
    );
    block_on(chat::ask(gateway, QUESTION))?;
    step(5, "chat: the WebSocket channel /channels/web");
    block_on(web_socket::ask(gateway, QUESTION))
}

/// Build programs as tests do, so that nothing is built twice.
pub(crate) fn build(packages: &[&str]) -> anyhow::Result<()> {
    let mut cargo = command::cargo();
    cargo.args(["build", "--locked", "--bins"]);
    for package in packages {
        cargo.args(["--package", package]);
    }
    command::run(&mut cargo)
}

fn step(number: u32, what: &str) {
    println!("\n[{number}] {what}");
}

pub(crate) fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(future)
}

fn what_next(gateway: &Gateway) {
    println!("\nTry next, in another terminal:\n\n{}", curl(gateway));
    if gateway.host() == "localhost" {
        println!("{}", openai(gateway));
    }
    let management = gateway.management_port();
    println!(
        "  curl http://127.0.0.1:{management}/status\n\nServing {} until Ctrl-C.",
        gateway.url()
    );
}

fn curl(gateway: &Gateway) -> String {
    let (url, ca) = (gateway.url(), gateway.ca_certificate().display());
    let resolve = match gateway.host() {
        "localhost" => String::new(),
        host => format!("--resolve {host}:{}:127.0.0.1 ", gateway.address().port()),
    };
    format!(
        r#"  curl --cacert {ca} {resolve}{url}/api/v1/chat \
    -H 'Authorization: Bearer {API_KEY}' -H 'Content-Type: application/json' \
    -d '{{"messages": [{{"role": "user", "content": "Tell me a fact about the sea."}}], "stream": true}}'
"#
    )
}

fn openai(gateway: &Gateway) -> String {
    let (url, ca) = (gateway.url(), gateway.ca_certificate().display());
    format!(
        r#"  pip install openai
  SSL_CERT_FILE={ca} python3 -c '
import openai
client = openai.OpenAI(base_url="{url}/v1", api_key="{API_KEY}")
hello = [{{"role": "user", "content": "Hello!"}}]
print(client.chat.completions.create(model="smollm2", messages=hello).choices[0].message.content)'

  Edit examples/route.yaml while it runs: the change is served at once.
"#
    )
}
