//! From objects to configuration: the one pure function that the operator and the standalone gateway share.
//!
//! It decides what a spec means and names everything that is wrong with it. It reads nothing but its inputs and
//! never fails as a whole because of one part: a broken route, channel or model is reported and the rest serves.
//! Only what makes serving unsafe or impossible (authentication, certificate, duplicate models) leaves no
//! configuration at all.

mod audit;
mod audit_sinks;
mod auth;
mod buckets;
mod budget;
mod callers;
mod channels;
mod config_maps;
mod conversations;
mod holder;
mod model_pool;
mod model_sources;
mod models;
mod outbound;
mod pattern;
mod problem;
mod public_values;
mod pull_secrets;
mod ranges;
mod remote_models;
mod routes;
mod secrets;
mod state;
mod tls;
mod url;

pub use auth::{InvalidAuthorities, InvalidRevocationList, client_roots, revocation_lists};
pub use config_maps::ConfigMaps;
pub use pattern::PATTERN_SIZE_LIMIT_BYTES;
pub use problem::{ObjectRef, Problem, ProblemReason};
pub use routes::{RulesPlace, compile_rules};
pub use secrets::{Secret, Secrets};
pub use tls::{CertificateError, certified_key};

use crate::{
    Channel, ClawGateway, ModelRoute,
    claw_gateway::AcceleratorType,
    gateway_config::{
        BudgetsConfig, DeviceConfig, GatewayConfig, GatewayIdentity, LimitsConfig, OutboundConfig,
        SCHEMA_VERSION, TlsConfig,
    },
};

/// What the compiler reads.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The gateway.
    pub gateway: &'a ClawGateway,
    /// Routes whose `gatewayRef` names the gateway; any order.
    pub routes: &'a [ModelRoute],
    /// Channels whose `gatewayRef` names the gateway; any order.
    pub channels: &'a [Channel],
    /// Secrets of the namespace that the objects refer to or select.
    pub secrets: &'a Secrets,
    /// ConfigMaps of the namespace that the objects refer to.
    pub config_maps: &'a ConfigMaps,
    /// The certificate from our own CA. Needed exactly when `tls` is `selfSigned`; the caller keeps it.
    pub self_signed: Option<&'a TlsConfig>,
    /// What may be called besides what the gateway's spec allows: what a command line says.
    pub also_allowed: Option<&'a OutboundConfig>,
}

/// What the compiler makes.
#[derive(Clone, Debug)]
pub struct Compilation {
    /// The configuration to serve; absent when the gateway itself has a fatal problem.
    pub config: Option<GatewayConfig>,
    /// Everything wrong, each with the object it belongs to.
    pub problems: Vec<Problem>,
}

impl Compilation {
    /// The problems of one object.
    pub fn problems_of<'a>(&'a self, object: &'a ObjectRef) -> impl Iterator<Item = &'a Problem> {
        self.problems
            .iter()
            .filter(move |problem| &problem.object == object)
    }
}

/// What references and URLs are held against.
#[derive(Clone, Copy)]
struct Found<'a> {
    secrets: &'a Secrets,
    config_maps: &'a ConfigMaps,
    outbound: &'a OutboundConfig,
}

/// Compile one gateway with its routes and channels.
pub fn compile(inputs: &Inputs<'_>) -> Compilation {
    let mut problems = Vec::new();
    let gateway = ObjectRef::of(inputs.gateway);
    let spec = &inputs.gateway.spec;

    let outbound = outbound::compile(
        &gateway,
        spec.outbound.as_ref(),
        inputs.also_allowed,
        &mut problems,
    );
    let found = Found {
        secrets: inputs.secrets,
        config_maps: inputs.config_maps,
        outbound: &outbound,
    };
    let models = models::compile(&gateway, &spec.models, found, &mut problems);
    let auth = auth::compile(&gateway, spec, inputs.secrets, &mut problems);
    let identities = auth::identities(&gateway, spec, found, &mut problems);
    let tls = tls::compile(&gateway, inputs, &mut problems);
    let routes = routes::compile(inputs.routes, &models, &mut problems);
    let channels = channels::compile(inputs.channels, &models, found, &mut problems);
    let audit = spec
        .audit
        .as_ref()
        .map(|audit| audit::compile(&gateway, audit, found, &mut problems));

    let budgets = state::budgets(&gateway, spec, &mut problems);
    let state = state::state(&gateway, spec, inputs.secrets, &mut problems);
    let conversations =
        conversations::compile(&gateway, spec, &state, inputs.secrets, &mut problems);
    let callers = callers::compile(&gateway, spec, &mut problems);

    let fatal = problems
        .iter()
        .any(|problem| problem.object == gateway && problem.is_fatal());
    let mut config = match (auth, tls) {
        (Some(auth), Some(tls)) if !fatal => Some(GatewayConfig {
            schema_version: SCHEMA_VERSION,
            gateway: identity(inputs.gateway),
            models,
            routes,
            channels,
            auth,
            tls: tls.into_config(),
            limits: limits(inputs.gateway, budgets),
            device: device(spec.accelerator.accelerator_type),
            model_pool: model_pool::compile(&gateway, spec, &mut problems),
            outbound,
            audit,
            log_level: spec.observability.log_level,
            state,
            conversations,
            callers,
            identities,
        }),
        _ => None,
    };
    if let Some(config) = &mut config {
        budget::keep_within(&gateway, config, &mut problems);
    }
    Compilation { config, problems }
}

fn identity(gateway: &ClawGateway) -> GatewayIdentity {
    GatewayIdentity {
        namespace: gateway
            .metadata
            .namespace
            .clone()
            .unwrap_or_else(|| "default".to_owned()),
        name: gateway.metadata.name.clone().unwrap_or_default(),
    }
}

fn limits(gateway: &ClawGateway, budgets: BudgetsConfig) -> LimitsConfig {
    let limits = &gateway.spec.limits;
    LimitsConfig {
        // The schema admits positive numbers only; a negative one from a file counts as absent there and is
        // refused before it comes here.
        requests_per_second: limits
            .requests_per_second
            .and_then(|limit| u32::try_from(limit).ok()),
        max_connections: limits
            .max_connections
            .and_then(|limit| u32::try_from(limit).ok())
            .unwrap_or_else(|| gateway.spec.size.defaults().max_connections),
        max_body_bytes: limits
            .max_body_bytes
            .and_then(|limit| u64::try_from(limit).ok())
            .unwrap_or(crate::claw_gateway::DEFAULT_MAX_BODY_BYTES),
        budgets,
    }
}

const fn device(accelerator: AcceleratorType) -> DeviceConfig {
    match accelerator {
        AcceleratorType::Auto => DeviceConfig::Auto,
        AcceleratorType::None => DeviceConfig::Cpu,
        AcceleratorType::Nvidia => DeviceConfig::Cuda,
    }
}

#[cfg(test)]
mod tests;
