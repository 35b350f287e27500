//! The program, started and stopped.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

pub(crate) const KEY: &str = "sesame";
/// For everything that should take far less.
const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Binary {
    child: Child,
    pub(crate) folder: TempDir,
    pub(crate) scheme: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) management: SocketAddr,
    pub(crate) client: reqwest::Client,
}

/// The program with an empty environment but for a key, and a state directory of its own.
pub(crate) fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clawdbot"));
    command
        .env_clear()
        .env("CLAWDBOT_STATE_DIR", folder.join("state"))
        .kill_on_drop(true);
    for name in ["ORT_DYLIB_PATH", "LD_LIBRARY_PATH"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

impl Binary {
    pub(crate) async fn start(arguments: &[String]) -> Self {
        Self::start_in(tempfile::tempdir().expect("a folder"), arguments).await
    }

    pub(crate) async fn start_in(folder: TempDir, arguments: &[String]) -> Self {
        let client = client_builder().build().expect("a client");
        Self::start_with(folder, arguments, ("http", client)).await
    }

    pub(crate) async fn start_with(
        folder: TempDir,
        arguments: &[String],
        client: (&'static str, reqwest::Client),
    ) -> Self {
        Self::start_with_environment(folder, arguments, client, &[]).await
    }

    pub(crate) async fn start_with_environment(
        folder: TempDir,
        arguments: &[String],
        client: (&'static str, reqwest::Client),
        environment: &[(&str, &str)],
    ) -> Self {
        let port_file = folder.path().join("ports.json");
        let log = std::fs::File::create(folder.path().join("log")).expect("a log");
        let mut child = command(folder.path())
            .args([
                "gateway",
                "--port",
                "0",
                "--management-port",
                "0",
                "--bind",
                "127.0.0.1",
                "--port-file",
            ])
            .arg(&port_file)
            .args(arguments)
            .env("CLAWDBOT_API_KEY", KEY)
            .env("CLAWDBOT_UPSTREAM_KEY", "far-key")
            // Where upstreams of tests are.
            .env("CLAWDBOT_ALLOW_OUTBOUND", "127.0.0.1,::1")
            .envs(environment.iter().copied())
            .stderr(Stdio::from(log))
            .spawn()
            .expect("the program starts");
        let ports = until("the ports are open", async || {
            if let Some(status) = child.try_wait().expect("a child") {
                let log = std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
                panic!("the program ended with {status}: {log}");
            }
            std::fs::read(&port_file).ok()
        })
        .await;
        let ports: Value = serde_json::from_slice(&ports).expect("JSON");
        let address = |name: &str| {
            ports[name]
                .as_str()
                .expect("an address")
                .parse()
                .expect("an address")
        };
        let (scheme, client) = client;
        let (address, management) = (address("gateway"), address("management"));
        Self {
            child,
            folder,
            scheme,
            address,
            management,
            client,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://localhost:{}{path}", self.scheme, self.address.port())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).expect("a log")
    }

    pub(crate) fn post(
        &self,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> reqwest::RequestBuilder {
        self.client.post(self.url(path)).bearer_auth(KEY).body(body)
    }

    pub(crate) fn chat(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        self.post(path, body.to_string())
    }

    /// Status and JSON of a chat without a stream.
    pub(crate) async fn ask(&self, path: &str, body: &Value) -> (u16, Value) {
        let response = self.chat(path, body).send().await.expect("an answer");
        (
            response.status().as_u16(),
            response.json().await.expect("JSON"),
        )
    }

    pub(crate) async fn managed(&self, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.management);
        let response = self.client.get(url).send().await.expect("an answer");
        (
            response.status().as_u16(),
            response.text().await.expect("text"),
        )
    }

    /// A metric without labels.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let (_, metrics) = self.managed("/metrics").await;
        metrics
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
            .and_then(|number| number.parse().ok())
            .expect(name)
    }

    pub(crate) async fn status(&self) -> Value {
        serde_json::from_str(&self.managed("/status").await.1).expect("JSON")
    }

    /// The id of the process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id().expect("running")
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.process().to_string();
        let sent = std::process::Command::new("kill")
            .args([name, &id])
            .status()
            .expect("kill runs");
        assert!(sent.success());
    }

    /// Leave what it has kept.
    pub(crate) fn into_folder(self) -> TempDir {
        self.folder
    }

    pub(crate) async fn end(&mut self) -> ExitStatus {
        tokio::time::timeout(DEADLINE, self.child.wait())
            .await
            .expect("ends in time")
            .expect("a child")
    }
}

/// Outgoing connections to ourselves only, whatever the environment says.
pub(crate) fn client_builder() -> reqwest::ClientBuilder {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(DEADLINE)
}

/// A chat with a model.
pub(crate) fn chat(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "hi"}]})
}

/// A streamed chat with a model.
pub(crate) fn stream(model: &str) -> Value {
    let mut body = chat(model);
    body["stream"] = true.into();
    body
}

/// The data of all events, and the names of those that have one.
pub(crate) async fn events(response: reqwest::Response) -> Vec<String> {
    let text = response.text().await.expect("a whole answer");
    text.lines()
        .filter_map(|line| {
            line.strip_prefix("data: ")
                .or_else(|| line.strip_prefix("event: "))
        })
        .map(str::to_owned)
        .collect()
}

/// The text that events say.
pub(crate) fn said(events: &[String]) -> String {
    let content = |event: &String| {
        let chunk: Value = serde_json::from_str(event).ok()?;
        Some(chunk["choices"][0]["delta"]["content"].as_str()?.to_owned())
    };
    events.iter().filter_map(content).collect()
}

/// Wait for a condition.
pub(crate) async fn until<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "{what}: not in time"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
