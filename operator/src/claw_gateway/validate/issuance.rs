//! A serving certificate that cert-manager is asked for.

use claw_crds::{ClawGatewaySpec, claw_gateway::IssuerRef};

use super::Owner;
use crate::kinds::{KindSet, OptionalKind};

/// What cert-manager is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedIssuance {
    /// For whom.
    pub owner: Owner,
    /// Who issues.
    pub issuer: IssuerRef,
    /// The Secret that it fills.
    pub secret: String,
    /// What the certificate is for.
    pub hosts: Vec<String>,
}

/// Nothing where no issuer is named, or the cluster cannot be asked.
pub(super) fn validate(
    spec: &ClawGatewaySpec,
    owner: &Owner,
    kinds: KindSet,
) -> Option<ValidatedIssuance> {
    let issuer = spec.tls.issuer_ref.clone()?;
    if !kinds.has(OptionalKind::Certificate) {
        return None;
    }
    let hosts = if issuer.hosts.is_empty() {
        owner.name.hosts(&owner.namespace).into()
    } else {
        issuer.hosts.clone()
    };
    Some(ValidatedIssuance {
        secret: owner.name.issued_secret(),
        owner: owner.clone(),
        issuer,
        hosts,
    })
}
