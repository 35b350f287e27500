//! How the gateway is reached.

use std::collections::BTreeMap;

use claw_crds::ClawGatewaySpec;

/// The Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatedService {
    /// Its type, as Kubernetes spells it.
    pub service_type: &'static str,
    /// Its annotations.
    pub annotations: Option<BTreeMap<String, String>>,
    /// Client addresses that a load balancer admits.
    pub source_ranges: Option<Vec<String>>,
    /// `https` or `http`.
    pub protocol: &'static str,
}

pub(super) fn validate(spec: &ClawGatewaySpec) -> ValidatedService {
    let service = &spec.service;
    ValidatedService {
        service_type: service.service_type.as_str(),
        annotations: service
            .annotations
            .clone()
            .filter(|annotations| !annotations.is_empty()),
        source_ranges: service
            .load_balancer_source_ranges
            .clone()
            .filter(|ranges| !ranges.is_empty()),
        protocol: if spec.tls.disabled.is_some() {
            "http"
        } else {
            "https"
        },
    }
}
