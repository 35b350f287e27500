//! `ClawGateway`: one gateway with its models, size, certificates, callers, limits and scaling.

mod accelerator;
mod audit;
mod audit_archive;
mod audit_sink;
mod auth;
mod autoscaling;
mod bucket;
mod budget;
mod exposure;
mod limits;
mod model;
mod model_pool;
mod model_source;
mod network_policy;
mod observability;
mod outbound;
mod remote_model;
mod service;
mod size;
mod state;
mod status;
mod storage;
mod tls;

pub use accelerator::{Accelerator, AcceleratorType};
pub use audit::{Audit, AuditContent, AuditFailure, DEFAULT_RETENTION_DAYS};
pub use audit_archive::AuditArchive;
pub use audit_sink::{
    AuditSink, DEFAULT_MAX_BEHIND, HttpSink, OtlpSink, SinkAccess, SinkHeader, SinkTls, SyslogSink,
};
pub use auth::{
    AnonymousAuth, ApiKeysAuth, Auth, Claims, ClientCertificateMode, ClientCertificates,
    Introspection, Jwks, Jwt, JwtAlgorithm, OutdatedRevocationLists, RequiredClaim,
};
pub use autoscaling::Autoscaling;
pub use bucket::{BucketAddressing, BucketPlace};
pub use budget::{Budget, Prices};
pub use exposure::{HttpRoute, Ingress, ParentRef};
use kube::{CustomResource, KubeSchema};
pub use limits::{DEFAULT_MAX_BODY_BYTES, Limits};
pub use model::{Load, LocalModel, Model, Quantization, Task};
pub use model_pool::ModelPool;
pub use model_source::{
    ClaimSource, DEFAULT_HUB, HttpSource, HuggingFaceSource, ModelSource, OciSource, S3Source,
};
pub use network_policy::NetworkPolicySettings;
pub use observability::{Dashboard, LogFormat, LogLevel, Monitoring, Observability, Tracing};
pub use outbound::Outbound;
pub use remote_model::{Credentials, Provider, RemoteModel, RemoteTask};
use serde::{Deserialize, Serialize};
pub use service::{GatewayService, ServiceType};
pub use size::{Resources, Size, SizeDefaults};
pub use state::{SqliteState, State, StateEncryption};
pub use status::{ClawGatewayStatus, ModelDevice};
pub use storage::{AccessMode, Storage, VolumeClaim, WhenDeleted};
pub use tls::{DisabledTls, IssuerRef, SelfSignedTls, Tls, issued_secret};

/// What one gateway is to be.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "claw.dev",
    version = "v1alpha1",
    kind = "ClawGateway",
    plural = "clawgateways",
    shortname = "cgw",
    category = "claw",
    namespaced,
    status = "ClawGatewayStatus",
    derive = "PartialEq",
    doc = "A chat-AI gateway: it serves the OpenAI API, runs and forwards to models, and answers on chat channels.",
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && self.metadata.name.size() <= 50")
        .message("metadata.name becomes the name of a Service: at most 50 lower-case letters, digits and '-', starting with a letter"),
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Replicas", type_ = "string", json_path = ".status.replicasSummary"),
    printcolumn(name = "Models", type_ = "integer", json_path = ".status.models"),
    printcolumn(name = "Endpoint", type_ = "string", json_path = ".status.endpoint"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.autoscaling) && has(self.replicas))")
        .message("replicas belongs to the autoscaler once autoscaling is set: remove spec.replicas or spec.autoscaling"),
    validation = Rule::new(
        "!has(self.storage) || !has(self.storage.persistentVolumeClaim) \
         || self.storage.persistentVolumeClaim.accessMode != 'ReadWriteOnce' \
         || ((!has(self.replicas) || self.replicas <= 1) && (!has(self.autoscaling) || self.autoscaling.maxReplicas <= 1))")
        .message("a ReadWriteOnce claim serves one replica: set accessMode: ReadWriteMany, or no more than one replica"),
    validation = Rule::new(
        "((!has(self.replicas) || self.replicas <= 1) && (!has(self.autoscaling) || self.autoscaling.maxReplicas <= 1)) \
         || (has(self.state) && has(self.state.postgres)) \
         || !((has(self.limits) \
             && (has(self.limits.requestsPerMinute) || has(self.limits.tokensPerMinute) || has(self.limits.tokensPerDay) \
             || has(self.limits.tokensPerMonth) || has(self.limits.costPerDay) || has(self.limits.costPerMonth) \
                 || (has(self.limits.perKey) && (has(self.limits.perKey.requestsPerMinute) || has(self.limits.perKey.tokensPerMinute) || has(self.limits.perKey.tokensPerDay) \
             || has(self.limits.perKey.tokensPerMonth) || has(self.limits.perKey.costPerDay) || has(self.limits.perKey.costPerMonth))))) \
             || self.models.exists(m, has(m.limits) && (has(m.limits.requestsPerMinute) || has(m.limits.tokensPerMinute) || has(m.limits.tokensPerDay) \
             || has(m.limits.tokensPerMonth) || has(m.limits.costPerDay) || has(m.limits.costPerMonth))))")
        .message("limits by the minute, day or month are shared by all replicas through a database: set state.postgres, or no more than one replica"),
    validation = Rule::new(
        "!has(self.limits) \
         || !(has(self.limits.costPerDay) || has(self.limits.costPerMonth) \
             || (has(self.limits.perKey) && (has(self.limits.perKey.costPerDay) || has(self.limits.perKey.costPerMonth)))) \
         || self.models.all(m, has(m.prices) || has(m.local))")
        .message("a limit of cost needs the prices of every remote model: set prices, or limit tokens"),
    validation = Rule::new("!has(self.auth.clientCertificates) || !has(self.tls) || !has(self.tls.disabled)")
        .message("clientCertificates are shown in the TLS handshake: leave out tls.disabled")
)]
pub struct ClawGatewaySpec {
    /// The models that clients and routes may name.
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub models: Vec<Model>,

    /// Who may call the gateway: anonymous alone, or any of the others.
    pub auth: Auth,

    /// How big each replica is: CPU, memory, storage and open connections together.
    #[serde(default)]
    pub size: Size,

    /// CPU and memory of each replica, instead of what the size says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// Where fetched and imported models are kept, and how much space they have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,

    /// How much memory and disk local models share, and whether files may be fetched at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_pool: Option<ModelPool>,

    /// How many replicas run; 1 when absent. Leave it out with autoscaling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: Option<i32>,

    /// Where local models run.
    #[serde(default)]
    pub accelerator: Accelerator,

    /// How the gateway is reached.
    #[serde(default)]
    pub service: GatewayService,

    /// A Gateway API route to the gateway. It appears while the cluster has the kind HTTPRoute. With TLS, the proxy has
    /// to speak TLS to the Service: by its appProtocol https, or by a BackendTLSPolicy of yours that trusts `ca.crt`
    /// of the Secret `<gateway>-tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_route: Option<HttpRoute>,

    /// An Ingress in front of the gateway. With TLS, the controller has to speak TLS to the Service, which many do only
    /// when told so by an annotation, e.g. nginx.ingress.kubernetes.io/backend-protocol: HTTPS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Ingress>,

    /// Logs, metrics, alerts and dashboards.
    #[serde(default)]
    pub observability: Observability,

    /// Who may reach the pods, and what they may reach.
    #[serde(default)]
    pub network_policy: NetworkPolicySettings,

    /// What the gateway may call besides public addresses of the internet: models in the cluster, say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outbound: Option<Outbound>,

    /// Address ranges whose requests are served, e.g. 10.0.0.0/8; others get 403 before anything of them is read. Absent
    /// means every address. Behind a proxy, name it in trustedProxies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 256),
        inner(length(max = 64), regex(pattern = r"^[0-9a-fA-F.:]+/[0-9]{1,3}$"))
    )]
    pub ip_allow_list: Option<Vec<String>>,

    /// Address ranges of the proxies in front of the gateway (an Ingress controller's pods, say). Of a request from one
    /// of them, the client is the last address in X-Forwarded-For that is none of them. From anybody else that header
    /// means nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 64),
        inner(length(max = 64), regex(pattern = r"^[0-9a-fA-F.:]+/[0-9]{1,3}$"))
    )]
    pub trusted_proxies: Option<Vec<String>>,

    /// The serving certificate: exactly one of selfSigned, issuerRef, secretRef and disabled.
    #[serde(default)]
    pub tls: Tls,

    /// What is let in at all.
    #[serde(default)]
    pub limits: Limits,

    /// Record who did what in files that show every change. No audit log when absent; {} keeps one with the defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<Audit>,
    /// Where the gateway remembers what was used of its limits, if any of them is by the minute, day or month; a file
    /// in the state directory when absent. Several replicas share such limits through postgres, which they need then;
    /// requestsPerSecond, concurrentStreams, maxConnections and maxBodyBytes need no state. Conversations on Telegram
    /// channels outlive the process only where it is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,

    /// Scale the replicas by CPU use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
}

impl ClawGatewaySpec {
    /// Whether a file in the state directory remembers what was used of the limits.
    pub fn remembers_in_a_file(&self) -> bool {
        let has_server = self
            .state
            .as_ref()
            .is_some_and(|state| state.postgres.is_some());
        // Asked for: the limits of single keys, which the spec does not show, are remembered there.
        let is_asked_for = self
            .state
            .as_ref()
            .is_some_and(|state| state.sqlite.is_some());
        let of_models = self.models.iter().filter_map(|model| model.limits.as_ref());
        !has_server
            && (is_asked_for
                || [&self.limits.budget]
                    .into_iter()
                    .chain(&self.limits.per_key)
                    .chain(of_models)
                    .any(Budget::needs_state))
    }

    /// Replicas to start with, when no autoscaler owns the number.
    pub fn replicas_or_default(&self) -> i32 {
        self.replicas.unwrap_or(1)
    }
}
