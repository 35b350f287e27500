//! What fits into one configuration: it lies in one Secret, and its routing table in the memory of every pod.
//!
//! Routes and channels come from many hands. Where they are too much together, the largest are left out and told so,
//! and the small ones serve.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    auth::SELECTOR,
    pattern,
    problem::{ObjectRef, Problem},
};
use crate::gateway_config::{AuthConfig, GatewayConfig};

/// Bytes of a configuration. A Secret holds 1 MiB
/// (<https://kubernetes.io/docs/concepts/configuration/secret/#restriction-data-size>).
const CONFIG_BYTES: usize = 1_000_000;
/// Of these, what API keys may take: some thousand keys.
const KEY_BYTES: usize = 400_000;
/// Bytes of all patterns compiled. The gateway takes 64 MiB for their common table, which is smaller than its parts.
const PATTERN_BYTES: usize = 32 << 20;

/// What one object takes.
#[derive(Clone, Copy, Default)]
struct Cost {
    config: usize,
    patterns: usize,
}

/// Leave out what does not fit.
pub(super) fn keep_within(
    gateway: &ObjectRef,
    config: &mut GatewayConfig,
    problems: &mut Vec<Problem>,
) {
    keep_keys_within(gateway, config, problems);
    let costs = costs(config);
    let mut total = Cost {
        config: config.to_json().len(),
        patterns: costs.values().map(|cost| cost.patterns).sum(),
    };
    let mut candidates: Vec<(&ObjectRef, &Cost)> = costs.iter().collect();
    candidates.sort_by_key(|(_, cost)| cost.config);
    while total.config > CONFIG_BYTES
        && let Some((object, cost)) = candidates.pop()
    {
        total.config -= cost.config;
        total.patterns -= cost.patterns;
        remove(config, object);
        problems.push(too_large(object, "bytes", cost.config, CONFIG_BYTES));
    }
    candidates.sort_by_key(|(_, cost)| cost.patterns);
    while total.patterns > PATTERN_BYTES
        && let Some((object, cost)) = candidates.pop()
    {
        total.patterns -= cost.patterns;
        remove(config, object);
        let what = "bytes of compiled patterns";
        problems.push(too_large(object, what, cost.patterns, PATTERN_BYTES));
    }
}

fn keep_keys_within(gateway: &ObjectRef, config: &mut GatewayConfig, problems: &mut Vec<Problem>) {
    let AuthConfig::ApiKeys(keys) = &mut config.auth else {
        return;
    };
    let mut bytes = 0;
    let fitting = keys
        .iter()
        .take_while(|key| {
            bytes += size(key);
            bytes <= KEY_BYTES
        })
        .count();
    if fitting < keys.len() {
        problems.push(Problem::invalid(
            gateway,
            SELECTOR,
            format!(
                "it selects {} API keys, and only the first {fitting} by name fit into the configuration",
                keys.len()
            ),
            "select fewer, or spread the callers over several gateways",
        ));
        keys.truncate(fitting);
    }
}

fn costs(config: &GatewayConfig) -> BTreeMap<ObjectRef, Cost> {
    let mut costs: BTreeMap<ObjectRef, Cost> = BTreeMap::new();
    for route in &config.routes {
        let cost = costs.entry(owner_of(&route.origin)).or_default();
        cost.config += size(route);
        cost.patterns += route
            .expressions()
            .map(|expression| pattern::judge(expression).unwrap_or(0))
            .sum::<usize>();
    }
    for channel in &config.channels {
        costs
            .entry(channel_named(&channel.name))
            .or_default()
            .config += size(channel);
    }
    costs
}

/// With the comma that follows it.
fn size(part: &impl Serialize) -> usize {
    serde_json::to_vec(part).map_or(0, |json| json.len() + 1)
}

/// Of `ModelRoute/main spec.routes[0]`.
fn owner_of(origin: &str) -> ObjectRef {
    let object = origin.split(' ').next().unwrap_or_default();
    let (kind, name) = object.split_once('/').unwrap_or((object, ""));
    ObjectRef {
        kind: kind.to_owned(),
        name: name.to_owned(),
    }
}

fn channel_named(name: &str) -> ObjectRef {
    ObjectRef {
        kind: "Channel".to_owned(),
        name: name.to_owned(),
    }
}

fn remove(config: &mut GatewayConfig, object: &ObjectRef) {
    config
        .routes
        .retain(|route| owner_of(&route.origin) != *object);
    config
        .channels
        .retain(|channel| channel_named(&channel.name) != *object);
}

fn too_large(object: &ObjectRef, what: &str, cost: usize, most: usize) -> Problem {
    Problem::invalid(
        object,
        "spec",
        format!(
            "it takes {cost} {what}, and the gateway with all its routes and channels may take {most}; of those that \
             are too much together, the largest are left out"
        ),
        "make it smaller, or attach it to another gateway",
    )
}

#[cfg(test)]
mod tests;
