//! A server with channels only, on a free port.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use claw_crds::GatewayConfig;
use claw_crds::gateway_config::{
    AccessConfig, ApiKeyConfig, AuthConfig, BudgetsConfig, CallersConfig, ChannelConfig,
    ConversationsConfig, DeviceConfig, DirectAccess, GatewayIdentity, GrantConfig, GroupAccess,
    IdentitiesConfig, LimitsConfig, LogLevel, ModelPoolConfig, OutboundConfig, PlatformConfig,
    Redacted, SCHEMA_VERSION, StateConfig,
};
use clawdbot::audit::Audit;
use clawdbot::auth::hash_key;
use clawdbot::channel::{Channels, Settings, router};
use clawdbot::config::{RuntimeConfig, prepare};
use clawdbot::dispatch::Dispatcher;
use clawdbot::limits::Limiter;
use clawdbot::mailbox::PostOffice;
use clawdbot::metrics::{Metrics, Snapshot};
use clawdbot::outbound::Outbound;
use clawdbot::provider::{Provider, Timeouts};
use clawdbot::respond::Respond;
use clawdbot::{AppParts, AppState};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::model::FakeModel;

pub(crate) const KEY: &str = "s3cret-key";
pub(crate) const KEY_NAME: &str = "team/ada";
pub(crate) const SECRET: &str = "hook-s3cret";
pub(crate) const TOKEN: &str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";

pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    pub(crate) app: AppState,
    pub(crate) model: Arc<FakeModel>,
    pub(crate) client: reqwest::Client,
    /// Its state directory.
    pub(crate) state: TempDir,
    /// Aborted with the gateway.
    _server: JoinSet<()>,
}

impl Gateway {
    /// Asked is the model that the test plays.
    pub(crate) async fn start(config: GatewayConfig, settings: Settings) -> Self {
        Self::with(config, settings, |model, _| model).await
    }

    /// Asked are the models of the configuration.
    pub(crate) async fn dispatching(config: GatewayConfig, settings: Settings) -> Self {
        Self::with(config, settings, |_, dispatcher| dispatcher).await
    }

    async fn with(
        config: GatewayConfig,
        settings: Settings,
        asked: impl FnOnce(Arc<dyn Respond>, Arc<dyn Respond>) -> Arc<dyn Respond>,
    ) -> Self {
        // Another test may have installed it already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let model = FakeModel::new();
        let shared_runtime = Arc::new(ArcSwap::from_pointee(runtime(config)));
        let outbound = Outbound::new(OutboundConfig::unrestricted()).expect("clients");
        let client = reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("a client");
        let metrics = Arc::new(Metrics::default());
        let state = tempfile::tempdir().expect("a folder");
        let limiter = Arc::new(Limiter::new(PathBuf::new(), Arc::clone(&metrics)));
        let patience = Duration::from_secs(5);
        let timeouts = Timeouts {
            first_token: patience,
            idle: patience,
            whole: patience,
        };
        let provider = Provider::new(outbound.clone(), timeouts);
        let dispatcher = Arc::new(Dispatcher::new(
            Arc::clone(&shared_runtime),
            provider,
            Duration::from_mins(1),
            Arc::clone(&metrics),
            Arc::clone(&limiter),
        ));
        let app = AppState::from(AppParts {
            shared_runtime,
            respond: asked(Arc::clone(&model) as _, Arc::clone(&dispatcher) as _),
            dispatcher,
            attempts: Arc::default(),
            rate_limits: Arc::default(),
            limiter,
            outbound,
            audit: Arc::new(Audit::new(state.path().to_owned(), metrics.audit.clone())),
            channels: Arc::new(Channels::new(settings)),
            mail: Arc::new(PostOffice::new(
                state.path().to_owned(),
                metrics.mail.clone(),
            )),
            metrics,
            tasks: TaskTracker::new(),
            shutdown: CancellationToken::new(),
        });
        app.mail.follow(&app.runtime());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let service = router().with_state(app.clone());
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, service).await.expect("serves") });
        Self {
            address,
            app,
            model,
            client,
            state,
            _server: server,
        }
    }

    /// Put another configuration into force.
    pub(crate) fn reconfigure(&self, config: GatewayConfig) {
        self.app.shared_runtime.store(Arc::new(runtime(config)));
    }

    /// Wait until every queued message was dealt with.
    pub(crate) async fn settle(&self) {
        self.app.tasks.close();
        crate::soon("the queue to run empty", self.app.tasks.wait()).await;
        self.app.tasks.reopen();
    }

    /// How often something became of messages, by the metrics.
    pub(crate) fn count(&self, outcome: &str) -> u64 {
        let text = self
            .app
            .metrics
            .encode(&Snapshot::default())
            .expect("encodes");
        let label = format!("outcome=\"{outcome}\"");
        let line = text
            .lines()
            .find(|line| line.contains("channel_messages_total{") && line.contains(&label));
        line.and_then(|line| line.rsplit(' ').next())
            .map_or(0, |count| count.parse().expect("a number"))
    }
}

fn runtime(config: GatewayConfig) -> RuntimeConfig {
    prepare("a test", config)
        .expect("valid")
        .install(|_| unreachable!("there are no local models"), None)
}

pub(crate) fn config(channels: Vec<ChannelConfig>) -> GatewayConfig {
    GatewayConfig {
        schema_version: SCHEMA_VERSION,
        gateway: GatewayIdentity {
            namespace: "shop".into(),
            name: "helpdesk".into(),
        },
        models: Vec::new(),
        routes: Vec::new(),
        channels,
        auth: AuthConfig::ApiKeys(vec![
            ApiKeyConfig {
                name: KEY_NAME.into(),
                sha256: hash_key(KEY),
                grant: GrantConfig::default(),
            },
            ApiKeyConfig {
                name: "team/bob".into(),
                sha256: hash_key("bobs-key"),
                grant: GrantConfig::default(),
            },
        ]),
        tls: None,
        limits: LimitsConfig {
            requests_per_second: None,
            max_connections: 50,
            max_body_bytes: 64 * 1024,
            budgets: BudgetsConfig::default(),
        },
        device: DeviceConfig::Cpu,
        model_pool: ModelPoolConfig::default(),
        outbound: OutboundConfig::unrestricted(),
        audit: None,
        log_level: LogLevel::default(),
        state: StateConfig::default(),
        conversations: ConversationsConfig::default(),
        callers: CallersConfig::default(),
        identities: IdentitiesConfig::default(),
    }
}

pub(crate) fn web_socket(name: &str) -> ChannelConfig {
    channel(name, PlatformConfig::WebSocket {})
}

pub(crate) fn telegram(name: &str, api_base_url: &str) -> ChannelConfig {
    let platform = PlatformConfig::Telegram {
        bot_token: Redacted::new(TOKEN),
        webhook_secret: Redacted::new(SECRET),
        api_base_url: api_base_url.to_owned(),
    };
    channel(name, platform)
}

fn channel(name: &str, platform: PlatformConfig) -> ChannelConfig {
    ChannelConfig {
        name: name.into(),
        model: "tiny".into(),
        system_prompt: Some("Be kind.".into()),
        platform,
        access: AccessConfig {
            direct: DirectAccess::Open,
            allow_from: [].into(),
            groups: GroupAccess::MentionOnly,
        },
    }
}
