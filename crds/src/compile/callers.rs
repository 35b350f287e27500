//! Where callers come from.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::{
    problem::{ObjectRef, Problem},
    ranges,
};
use crate::{ClawGatewaySpec, gateway_config::CallersConfig};

/// A range that is none admits nobody, and no proxy.
pub(super) fn compile(
    gateway: &ObjectRef,
    spec: &ClawGatewaySpec,
    problems: &mut Vec<Problem>,
) -> CallersConfig {
    let mut parsed = |field: &str, given: &[String]| -> BTreeSet<IpNet> {
        let mut ranges = BTreeSet::new();
        for (index, range) in given.iter().enumerate() {
            match ranges::parse(range) {
                Ok(range) => drop(ranges.insert(range)),
                Err(message) => {
                    let field = format!("spec.{field}[{index}]");
                    let remedy = "give a range such as 10.0.0.0/8";
                    let problem = Problem::invalid(gateway, field, message, remedy);
                    problems.push(problem.with_value(range));
                }
            }
        }
        ranges
    };
    CallersConfig {
        ip_allow_list: spec
            .ip_allow_list
            .as_ref()
            .map(|given| parsed("ipAllowList", given)),
        trusted_proxies: spec
            .trusted_proxies
            .as_ref()
            .map(|given| parsed("trustedProxies", given))
            .unwrap_or_default(),
    }
}
