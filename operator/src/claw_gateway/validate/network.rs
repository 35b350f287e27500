//! Who may reach the pods, and what they may reach: from the URLs that models, channels, token issuers, traces and the
//! audit log's sinks name.

mod destination;

use std::collections::BTreeSet;

use claw_crds::{
    Channel, ClawGatewaySpec,
    claw_gateway::{Audit, NetworkPolicySettings, ServiceType},
    gateway_config::StateConfig,
};
pub use destination::{Destination, Host};
use k8s_openapi::api::networking::v1::{NetworkPolicyEgressRule, NetworkPolicyPeer};

/// What the network lets through.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedNetwork {
    /// Who may call.
    pub callers: Callers,
    /// Who may read metrics and status besides the operator; Prometheus when nobody is named.
    pub management_from: Option<Vec<NetworkPolicyPeer>>,
    /// Where the API server is; anywhere on its usual ports when empty.
    pub api_server_ranges: Vec<String>,
    /// What the URLs of models, channels, traces and audit sinks lead to.
    pub destinations: BTreeSet<Destination>,
    /// What is let out besides.
    pub egress: Vec<NetworkPolicyEgressRule>,
}

/// Who may call.
#[derive(Clone, Debug, PartialEq)]
pub enum Callers {
    /// Whoever finds the way.
    Everyone,
    /// Pods of the cluster.
    Cluster,
    /// These.
    Peers(Vec<NetworkPolicyPeer>),
}

/// Nothing when no policy is wanted.
pub(super) fn validate(
    spec: &ClawGatewaySpec,
    channels: &[Channel],
    state: &StateConfig,
    namespace: &str,
) -> Option<ValidatedNetwork> {
    let NetworkPolicySettings {
        enabled,
        ingress_from,
        management_from,
        api_server_ranges,
        egress,
    } = spec.network_policy.clone();
    if !enabled {
        return None;
    }
    let callers = match (ingress_from, spec.service.service_type) {
        (Some(peers), _) => Callers::Peers(peers),
        (None, ServiceType::ClusterIP) => Callers::Cluster,
        // Packets from outside come with addresses of nodes, balancers or clients, which nobody knows here.
        (None, ServiceType::NodePort | ServiceType::LoadBalancer) => Callers::Everyone,
    };
    Some(ValidatedNetwork {
        callers,
        management_from,
        api_server_ranges: api_server_ranges.unwrap_or_default(),
        destinations: urls(spec, channels)
            .chain(spec.audit.iter().flat_map(Audit::urls))
            .filter_map(|url| Destination::of(&url, namespace))
            .chain(database(state, namespace))
            .collect(),
        egress: egress.unwrap_or_default(),
    })
}

fn database(state: &StateConfig, namespace: &str) -> Option<Destination> {
    match state {
        StateConfig::Postgres(url) => Destination::of_database(url.expose(), namespace),
        StateConfig::Sqlite | StateConfig::Unavailable { .. } => None,
    }
}

fn urls<'a>(
    spec: &'a ClawGatewaySpec,
    channels: &'a [Channel],
) -> impl Iterator<Item = String> + use<'a> {
    let remote = spec.models.iter().filter_map(|model| {
        let remote = model.remote.as_ref()?;
        remote.base_url_or_default()
    });
    let sources = spec.models.iter().filter_map(|model| {
        let local = model.local.as_ref()?;
        local.source.origin_url()
    });
    let platforms = channels.iter().filter_map(|channel| {
        let telegram = channel.spec.telegram.as_ref()?;
        Some(telegram.api_base_url_or_default())
    });
    let issuers = spec.auth.jwt.iter().flatten();
    let key_sets = issuers.filter_map(|issuer| issuer.jwks.url.as_deref());
    let introspection = spec.auth.introspection.iter();
    let introspection = introspection.map(|introspection| introspection.url.as_str());
    let tracing = spec.observability.tracing.as_ref();
    let collector = tracing.map(|tracing| tracing.otlp_endpoint.as_str());
    remote
        .chain(platforms)
        .chain(key_sets)
        .chain(introspection)
        .chain(collector)
        .map(str::to_owned)
        .chain(sources)
}
