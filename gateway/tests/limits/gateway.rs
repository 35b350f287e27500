//! The real program with limits, before an API that always answers the same.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use axum::routing::post;
use axum::{Json, Router};
use claw_crds::GatewayConfig;
use claw_crds::gateway_config::{
    AuthConfig, BudgetsConfig, CallersConfig, ConversationsConfig, DeviceConfig, GatewayIdentity,
    IdentitiesConfig, LimitsConfig, LogLevel, ModelBackend, ModelConfig, ModelPoolConfig,
    OutboundConfig, ProviderConfig, Redacted, RemoteModelConfig, SCHEMA_VERSION, StateConfig,
    TaskConfig,
};
use clawdbot::store::Place;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

/// For everything that should take far less.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);
/// What a request sets aside and uses: `hi` with its template, and the answer.
pub(crate) const TOKENS: u64 = 101;

/// The address of an API whose answers have so many tokens.
pub(crate) fn upstream() -> SocketAddr {
    serve(Router::new().route("/v1/chat/completions", post(whole_answer)))
}

/// An answer of so many tokens.
pub(crate) async fn whole_answer() -> Json<Value> {
    Json(json!({
        "id": "far", "object": "chat.completion", "created": 0, "model": "far",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": TOKENS - 9, "total_tokens": TOKENS},
    }))
}

/// The address of an API.
pub(crate) fn serve(app: Router) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    listener.set_nonblocking(true).expect("a socket");
    // To the end of the tests, whatever runtime a test has.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
            axum::serve(listener, app).await.expect("serves");
        });
    });
    address
}

/// A configuration with a model `far` and these limits.
pub(crate) fn config(upstream: SocketAddr, budgets: BudgetsConfig, state: &Place) -> GatewayConfig {
    GatewayConfig {
        schema_version: SCHEMA_VERSION,
        gateway: GatewayIdentity {
            namespace: "shop".into(),
            name: "helpdesk".into(),
        },
        models: vec![ModelConfig {
            name: "far".into(),
            task: TaskConfig::Chat,
            backend: ModelBackend::Remote(RemoteModelConfig {
                base_url: format!("http://{upstream}/v1"),
                model: "far".into(),
                provider: ProviderConfig::OpenAI,
                api_version: None,
                credentials: Vec::new(),
            }),
        }],
        routes: Vec::new(),
        channels: Vec::new(),
        auth: AuthConfig::Anonymous {},
        tls: None,
        limits: LimitsConfig {
            requests_per_second: None,
            max_connections: 200,
            max_body_bytes: 65_536,
            budgets,
        },
        device: DeviceConfig::Cpu,
        model_pool: ModelPoolConfig::default(),
        audit: None,
        log_level: LogLevel::default(),
        outbound: OutboundConfig::unrestricted(),
        callers: CallersConfig::default(),
        identities: IdentitiesConfig::default(),
        conversations: ConversationsConfig::default(),
        state: match state {
            Place::Sqlite(_) => StateConfig::Sqlite,
            Place::Postgres(url) => StateConfig::Postgres(Redacted::new(url.expose())),
        },
    }
}

/// The program.
pub(crate) struct Gateway {
    child: Child,
    ports: PathBuf,
    address: SocketAddr,
    management: SocketAddr,
    client: reqwest::Client,
}

impl Gateway {
    /// Start it with its state in `folder`; `wrapper` comes before the program.
    pub(crate) async fn start(config: &GatewayConfig, folder: &Path, wrapper: &[&str]) -> Self {
        // Another test may have installed it already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let own = folder.join(uuid::Uuid::new_v4().to_string());
        std::fs::create_dir(&own).expect("a folder");
        let file = own.join("config.json");
        std::fs::write(&file, config.to_json()).expect("a configuration");
        let ports = own.join("ports.json");
        let program = env!("CARGO_BIN_EXE_clawdbot");
        let (first, rest) = wrapper.split_first().unwrap_or((&program, &[]));
        let mut command = Command::new(first);
        command.args(rest);
        if !wrapper.is_empty() {
            command.arg(program);
        }
        let child = command
            .args([
                "gateway",
                "--port",
                "0",
                "--management-port",
                "0",
                "--bind",
                "127.0.0.1",
            ])
            .arg("--config")
            .arg(&file)
            .arg("--port-file")
            .arg(&ports)
            .arg("--state-dir")
            .arg(folder.join("state"))
            .stderr(Stdio::from(
                std::fs::File::create(own.join("log")).expect("a log"),
            ))
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let mut gateway = Self {
            child,
            ports,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            management: SocketAddr::from(([127, 0, 0, 1], 0)),
            client: reqwest::Client::builder()
                .no_proxy()
                .build()
                .expect("a client"),
        };
        let ports = until("the ports are open", async || {
            if let Some(status) = gateway.child.try_wait().expect("a child") {
                let log = std::fs::read_to_string(own.join("log")).unwrap_or_default();
                panic!("the program ended with {status}: {log}");
            }
            serde_json::from_slice::<Value>(&std::fs::read(&gateway.ports).ok()?).ok()
        })
        .await;
        let address = |name: &str| {
            let text = ports[name].as_str().expect("an address");
            text.parse().expect("an address")
        };
        gateway.address = address("gateway");
        gateway.management = address("management");
        gateway
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// As a crash would.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.expect("killed");
    }

    pub(crate) async fn ask(&self) -> reqwest::Result<reqwest::Response> {
        self.ask_for(&json!({"max_tokens": TOKENS - 9})).await
    }

    /// A chat with further fields.
    pub(crate) async fn ask_for(&self, fields: &Value) -> reqwest::Result<reqwest::Response> {
        let mut body = json!({"model": "far", "messages": [{"role": "user", "content": "hi"}]});
        for (name, value) in fields.as_object().expect("an object") {
            body[name] = value.clone();
        }
        let url = format!("http://{}/v1/chat/completions", self.address);
        self.client.post(url).json(&body).send().await
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Response {
        let url = format!("http://{}{path}", self.address);
        self.client.get(url).send().await.expect("an answer")
    }

    pub(crate) async fn manage(&self, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.management);
        let response = self.client.get(url).send().await.expect("an answer");
        let status = response.status().as_u16();
        (status, response.text().await.expect("text"))
    }

    pub(crate) async fn until_ready(&self, is_wanted: bool) -> String {
        until("readiness is as wanted", async || {
            let (status, text) = self.manage("/readyz").await;
            ((status == 200) == is_wanted).then_some(text)
        })
        .await
    }
}

/// Wait for what `attempt` gives.
pub(crate) async fn until<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = attempt().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {DEADLINE:?}"))
}
