//! What the gateway may call, and which URLs it therefore may not.

use url::Url;

use super::problem::{ObjectRef, Problem};
use super::url::shown;
use crate::{
    claw_gateway::Outbound,
    outbound::{OutboundConfig, normal_host},
};

/// What the spec allows, and what is allowed besides. A range that is none allows nothing.
pub(super) fn compile(
    gateway: &ObjectRef,
    outbound: Option<&Outbound>,
    also_allowed: Option<&OutboundConfig>,
    problems: &mut Vec<Problem>,
) -> OutboundConfig {
    let mut config = also_allowed.cloned().unwrap_or_default();
    let Some(outbound) = outbound else {
        return config;
    };
    for (index, range) in outbound.allowed_cidrs.iter().flatten().enumerate() {
        match super::ranges::parse(range) {
            Ok(range) => drop(config.allowed_cidrs.insert(range)),
            Err(message) => {
                let field = format!("spec.outbound.allowedCIDRs[{index}]");
                let problem =
                    Problem::invalid(gateway, field, message, "give a range such as 10.0.0.0/8");
                problems.push(problem.with_value(range));
            }
        }
    }
    let hosts = outbound.allowed_hosts.iter().flatten();
    config
        .allowed_hosts
        .extend(hosts.map(|host| normal_host(host)));
    config
}

/// Whether a URL may be called, as far as it can be told before its name is looked up.
pub(super) fn check(
    object: &ObjectRef,
    field: &str,
    url: &Url,
    outbound: &OutboundConfig,
) -> Result<(), Problem> {
    outbound.check_url(url).map_err(|refusal| {
        let range = ipnet::IpNet::from(refusal.address);
        let message = format!(
            "{} is {}, which the gateway may not call",
            refusal.address,
            refusal.kind.described()
        );
        let remedy = format!(
            "use another address, or add {range} to spec.outbound.allowedCIDRs of the gateway \
             (--allow-outbound on one machine)"
        );
        Problem::invalid(object, field, message, remedy).with_value(shown(url.as_str()))
    })
}
