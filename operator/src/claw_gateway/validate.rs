//! Step 2, pure: from specs to what is to be built, or to what is wrong. Nobody reads a spec after this.

mod exposure;
mod issuance;
mod network;
mod observability;
mod pod;
mod scaling;
mod service;
mod storage;

use claw_crds::{
    Channel, ClawGateway, Compilation, Inputs, ModelRoute,
    compile::{ObjectRef, compile},
    pki,
};
pub use exposure::ValidatedExposure;
pub use issuance::ValidatedIssuance;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;
pub use network::{Callers, Destination, Host, ValidatedNetwork};
pub use observability::{ValidatedObservability, ValidatedTracing};
pub use pod::{ValidatedDevices, ValidatedGpu, ValidatedPod};
pub use scaling::{ValidatedAutoscaler, ValidatedScaling};
pub use service::ValidatedService;
pub use storage::{ValidatedClaim, ValidatedStorage};

use super::{
    certificates::{self, ValidatedCertificates},
    dereference::Dereferenced,
    verdict::{Fault, Verdict},
};
use crate::{environment::Environment, names::GatewayName};

/// Whom children belong to.
#[derive(Clone, Debug, PartialEq)]
pub struct Owner {
    /// The gateway's name.
    pub name: GatewayName,
    /// Its namespace.
    pub namespace: String,
    /// What makes the children its own.
    pub reference: OwnerReference,
}

/// Everything that `build` needs.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedGateway {
    /// Its name.
    pub name: GatewayName,
    /// Its namespace.
    pub namespace: String,
    /// What makes the children its own.
    pub owner: OwnerReference,
    /// The configuration, as it is stored.
    pub config_json: String,
    /// The pods.
    pub pod: ValidatedPod,
    /// How many of them.
    pub scaling: ValidatedScaling,
    /// How they are reached.
    pub service: ValidatedService,
    /// What the network lets through, where we say so.
    pub network: Option<ValidatedNetwork>,
    /// Ways in from outside the cluster.
    pub exposure: ValidatedExposure,
    /// What is told of the gateway.
    pub observability: ValidatedObservability,
    /// Our own authority and certificate, where those are wanted.
    pub certificates: Option<ValidatedCertificates>,
}

impl ValidatedGateway {
    /// Whom the children belong to.
    pub fn belongs_to(&self) -> Owner {
        Owner {
            name: self.name.clone(),
            namespace: self.namespace.clone(),
            reference: self.owner.clone(),
        }
    }
}

/// A route or a channel, judged.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedAttachment<K> {
    /// The object, for its identity and last status.
    pub object: K,
    /// What is wrong with it.
    pub verdict: Verdict,
    /// How much of it the configuration holds: rules of a route, or 1 for a channel.
    pub served: i32,
}

/// What came of a gateway.
pub struct Validated {
    /// What to build; nothing when the gateway cannot be configured.
    pub gateway: Option<ValidatedGateway>,
    /// Whom children belong to; nobody when the name cannot be theirs.
    pub owner: Option<Owner>,
    /// What cert-manager is asked for, whether or not there is something to build yet.
    pub issuance: Option<ValidatedIssuance>,
    /// What is wrong with the gateway itself.
    pub verdict: Verdict,
    /// How many models are configured.
    pub models: i32,
    /// The port speaks TLS.
    pub is_tls: bool,
    /// When the serving certificate ends.
    pub certificate_expires: Option<Timestamp>,
    /// When certificates are to be renewed.
    pub renew_at: Option<Timestamp>,
    /// The routes.
    pub routes: Vec<ValidatedAttachment<ModelRoute>>,
    /// The channels.
    pub channels: Vec<ValidatedAttachment<Channel>>,
}

/// Judge everything that was read.
pub fn validate(read: &Dereferenced, environment: &Environment, now: Timestamp) -> Validated {
    let mut faults = Vec::new();
    let name = note(&mut faults, parse_name(&read.gateway));
    let certificates = name
        .as_ref()
        .and_then(|name| note(&mut faults, certificates_of(name, read, now)))
        .flatten();
    let pod = note(
        &mut faults,
        pod::validate(&read.gateway.spec, environment, read.claim.as_deref()),
    );
    let observability = note(
        &mut faults,
        observability::validate(&read.gateway.spec, read.kinds, &environment.runbook_base),
    );
    let blocked = !faults.is_empty();
    // Told, but no reason to keep back everything else.
    faults.extend(
        pod.as_ref()
            .and_then(|pod| storage::shrunk(&read.gateway.spec, &pod.storage)),
    );

    faults.extend(exposure::missing_kinds(&read.gateway.spec, read.kinds));
    let owner = name.clone().map(|name| Owner {
        name,
        namespace: read.namespace.clone(),
        reference: read.gateway.controller_owner_ref(&()).unwrap_or_default(),
    });
    let issuance = owner
        .as_ref()
        .and_then(|owner| issuance::validate(&read.gateway.spec, owner, read.kinds));

    let compilation = compile(&Inputs {
        gateway: &read.gateway,
        routes: &read.routes,
        channels: &read.channels,
        secrets: &read.secrets,
        config_maps: &read.config_maps,
        self_signed: certificates.as_ref().map(|issued| &issued.leaf),
        also_allowed: None,
    });
    faults.extend(further_faults(read, &compilation, blocked));

    let config = compilation.config.as_ref();
    let tls = config.and_then(|config| config.tls.as_ref());
    let renew_at = certificates.as_ref().and_then(|issued| issued.renew_at);
    let gateway = match (name, pod, observability, config) {
        (Some(name), Some(pod), Some(observability), Some(config)) if !blocked => {
            Some(ValidatedGateway {
                config_json: config.to_json(),
                namespace: read.namespace.clone(),
                owner: read.gateway.controller_owner_ref(&()).unwrap_or_default(),
                scaling: scaling::validate(&read.gateway.spec, read.deployment.as_deref()),
                service: service::validate(&read.gateway.spec),
                network: network::validate(
                    &read.gateway.spec,
                    &read.channels,
                    &config.state,
                    &read.namespace,
                ),
                exposure: exposure::validate(&read.gateway.spec, read.kinds),
                observability,
                name,
                pod,
                certificates,
            })
        }
        _ => None,
    };
    Validated {
        owner,
        issuance,
        verdict: Verdict::of(&faults),
        models: count(read.gateway.spec.models.len()),
        is_tls: read.gateway.spec.tls.disabled.is_none(),
        certificate_expires: tls.and_then(|tls| pki::not_after(&tls.certificate_chain)),
        renew_at,
        routes: judge_routes(&read.routes, &compilation),
        channels: judge_channels(&read.channels, &compilation),
        gateway,
    }
}

/// What the compiler has against the gateway itself.
fn further_faults(read: &Dereferenced, compilation: &Compilation, blocked: bool) -> Vec<Fault> {
    // Where no certificate could be issued, the reason is known better here than by the compiler.
    let is_known = |field: &str| blocked && field == "spec.tls.selfSigned";
    compilation
        .problems_of(&ObjectRef::of(&read.gateway))
        .filter(|problem| !is_known(&problem.field))
        .map(Fault::from)
        .collect()
}

/// Keep what is good and note what is not.
fn note<T>(faults: &mut Vec<Fault>, outcome: Result<T, Fault>) -> Option<T> {
    outcome.map_err(|fault| faults.push(fault)).ok()
}

fn parse_name(gateway: &ClawGateway) -> Result<GatewayName, Fault> {
    let name = gateway.metadata.name.as_deref().unwrap_or_default();
    GatewayName::parse(name).map_err(|invalid| Fault::invalid(invalid.to_string()))
}

fn certificates_of(
    name: &GatewayName,
    read: &Dereferenced,
    now: Timestamp,
) -> Result<Option<ValidatedCertificates>, Fault> {
    let Some(self_signed) = &read.gateway.spec.tls.self_signed else {
        return Ok(None);
    };
    let mut hosts: Vec<String> = name.hosts(&read.namespace).into();
    hosts.extend(self_signed.hosts.iter().cloned());
    let wish = certificates::rotation(&read.gateway);
    certificates::current(&read.certificates, wish, &hosts, now)
        .map(Some)
        .map_err(|error| match error {
            pki::Error::Hosts { .. } => Fault::invalid(format!(
                "spec.tls.selfSigned.hosts {:?}: a host cannot stand in a certificate; give DNS names in ASCII \
                 (punycode for others) or IP addresses",
                self_signed.hosts
            )),
            pki::Error::Authority(_) => Fault::invalid(format!(
                "spec.tls.selfSigned: {}; see the operator's log, or use tls.secretRef",
                crate::error::chain(&error)
            )),
        })
}

fn judge_routes(
    routes: &[ModelRoute],
    compilation: &Compilation,
) -> Vec<ValidatedAttachment<ModelRoute>> {
    let rules = |object: &ObjectRef| {
        let prefix = format!("{object} ");
        let rules = compilation.config.iter().flat_map(|config| &config.routes);
        count(
            rules
                .filter(|rule| rule.origin.starts_with(&prefix) && rule.has_model())
                .count(),
        )
    };
    judge(routes, compilation, rules)
}

fn judge_channels(
    channels: &[Channel],
    compilation: &Compilation,
) -> Vec<ValidatedAttachment<Channel>> {
    let channel = |object: &ObjectRef| {
        let channels = compilation
            .config
            .iter()
            .flat_map(|config| &config.channels);
        count(
            channels
                .filter(|channel| channel.name == object.name)
                .count(),
        )
    };
    judge(channels, compilation, channel)
}

fn judge<K: Resource<DynamicType = ()> + Clone>(
    objects: &[K],
    compilation: &Compilation,
    served: impl Fn(&ObjectRef) -> i32,
) -> Vec<ValidatedAttachment<K>> {
    objects
        .iter()
        .map(|object| {
            let reference = ObjectRef::of(object);
            let faults: Vec<Fault> = compilation
                .problems_of(&reference)
                .map(Fault::from)
                .collect();
            ValidatedAttachment {
                object: object.clone(),
                verdict: Verdict::of(&faults),
                served: served(&reference),
            }
        })
        .collect()
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
