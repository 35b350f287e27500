//! What asks cert-manager for the serving certificate. Made before everything else: without a certificate there is no
//! configuration.

use std::net::IpAddr;

use serde_json::json;

use super::meta_of;
use crate::{claw_gateway::validate::ValidatedIssuance, kinds::Certificate};

/// The request.
pub fn build(issuance: &ValidatedIssuance) -> Certificate {
    let ValidatedIssuance {
        owner,
        issuer,
        secret,
        hosts,
    } = issuance;
    let (addresses, names): (Vec<&String>, Vec<&String>) = hosts
        .iter()
        .partition(|host| host.parse::<IpAddr>().is_ok());
    let mut spec = json!({
        "secretName": secret,
        "issuerRef": {"name": issuer.name, "kind": issuer.kind, "group": issuer.group},
        // A key that is used no longer than its certificate.
        "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
        "usages": ["digital signature", "server auth"],
    });
    for (field, hosts) in [("dnsNames", names), ("ipAddresses", addresses)] {
        if !hosts.is_empty() {
            spec[field] = json!(hosts);
        }
    }
    Certificate::new(meta_of(owner, owner.name.certificate()), spec)
}
