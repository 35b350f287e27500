//! What the operator may do in the cluster, with the reason for each rule. Pure data: the chart and the tests are
//! made from it.
//!
//! Everything is namespaced, so the same rules make a ClusterRole for all namespaces and a Role for one. The Lease
//! lies in the operator's own namespace and always needs no more than a Role.

use k8s_openapi::api::rbac::v1::PolicyRule;

/// A rule and why it is needed.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Why the operator needs it.
    pub reason: &'static str,
    /// What it allows.
    pub rule: PolicyRule,
}

/// What the operator needs wherever gateways are.
pub fn rules() -> Vec<Rule> {
    [of_gateways(), of_surroundings()].concat()
}

const READ: [&str; 3] = ["get", "list", "watch"];
const KEEP: [&str; 4] = ["list", "watch", "create", "patch"];
const KEEP_AND_PRUNE: [&str; 5] = ["list", "watch", "create", "patch", "delete"];

/// What every gateway is made of.
fn of_gateways() -> Vec<Rule> {
    vec![
        rule(
            "The objects that say what is wanted.",
            "claw.dev",
            &["clawgateways", "modelroutes", "channels"],
            &READ,
        ),
        rule(
            "How far it got is told in their statuses.",
            "claw.dev",
            &[
                "clawgateways/status",
                "modelroutes/status",
                "channels/status",
            ],
            &["patch"],
        ),
        rule(
            "Credentials that the objects refer to are read; configuration, authority and certificate of each \
             gateway are written, and removed when TLS is switched off. Its pods get a Role to read their \
             configuration, and nobody can give more than they have.",
            "",
            &["secrets"],
            &["get", "list", "watch", "create", "patch", "delete"],
        ),
        rule(
            "Each gateway's address and identity.",
            "",
            &["services", "serviceaccounts"],
            &KEEP,
        ),
        rule("Each gateway's pods.", "apps", &["deployments"], &KEEP),
        rule(
            "Why a pod does not start is told in its gateway's status.",
            "",
            &["pods"],
            &["list", "watch"],
        ),
        rule(
            "Each gateway's right to read its own configuration.",
            "rbac.authorization.k8s.io",
            &["roles", "rolebindings"],
            &KEEP,
        ),
        rule(
            "Autoscaling, removed when it is switched off.",
            "autoscaling",
            &["horizontalpodautoscalers"],
            &KEEP_AND_PRUNE,
        ),
        rule(
            "Drains take one pod at a time; removed when there is only one.",
            "policy",
            &["poddisruptionbudgets"],
            &KEEP_AND_PRUNE,
        ),
        rule(
            "What the network lets through to each gateway's pods and from them; removed when it is switched off.",
            "networking.k8s.io",
            &["networkpolicies"],
            &KEEP_AND_PRUNE,
        ),
        rule(
            "Where fetched models are kept, if not on the node; removed when it is switched off, unless it is to be \
             kept.",
            "",
            &["persistentvolumeclaims"],
            &KEEP_AND_PRUNE,
        ),
    ]
}

/// What stands around gateways, where it is wanted and the cluster has it, and what tells of them.
fn of_surroundings() -> Vec<Rule> {
    vec![
        rule(
            "Each gateway's dashboard, removed when it is switched off. ConfigMaps that the objects refer to are read.",
            "",
            &["configmaps"],
            &KEEP_AND_PRUNE,
        ),
        rule(
            "A way in by an Ingress controller, removed when it is switched off.",
            "networking.k8s.io",
            &["ingresses"],
            &KEEP_AND_PRUNE,
        ),
        rule(
            "A way in by the Gateway API, where that is installed; removed when it is switched off.",
            "gateway.networking.k8s.io",
            &["httproutes"],
            &KEEP_AND_PRUNE,
        ),
        rule(
            "How Prometheus finds each gateway and what it warns of, where its operator is installed; removed when it              is switched off.",
            "monitoring.coreos.com",
            &["podmonitors", "prometheusrules"],
            &KEEP_AND_PRUNE,
        ),
        rule(
            "What asks cert-manager for a certificate, where that is installed; removed when it is switched off.",
            "cert-manager.io",
            &["certificates"],
            &KEEP_AND_PRUNE,
        ),
        rule(
            "Notable changes are told by Events; repeated ones are counted in the first.",
            "events.k8s.io",
            &["events"],
            &["create", "patch"],
        ),
    ]
}

/// What the operator needs in its own namespace.
pub fn lease_rules() -> Vec<Rule> {
    vec![rule(
        "Only the replica that holds the Lease reconciles.",
        "coordination.k8s.io",
        &["leases"],
        &["get", "create", "update"],
    )]
}

fn rule(reason: &'static str, group: &str, resources: &[&str], verbs: &[&str]) -> Rule {
    let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    Rule {
        reason,
        rule: PolicyRule {
            api_groups: Some(vec![group.to_owned()]),
            resources: Some(owned(resources)),
            verbs: owned(verbs),
            ..PolicyRule::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{claw_gateway::build, fixtures};

    fn allows(group: &str, resource: &str, verb: &str) -> bool {
        rules().into_iter().any(|Rule { rule, .. }| {
            rule.api_groups.iter().flatten().any(|g| g == group)
                && rule.resources.iter().flatten().any(|r| r == resource)
                && rule.verbs.iter().any(|v| v == verb)
        })
    }

    #[test]
    fn the_operator_holds_every_right_that_it_gives_to_pods() {
        let role = build::build(&fixtures::validated(fixtures::FULL)).role;
        for rule in role.rules.into_iter().flatten() {
            for group in rule.api_groups.iter().flatten() {
                for resource in rule.resources.iter().flatten() {
                    for verb in &rule.verbs {
                        assert!(allows(group, resource, verb), "{verb} {resource}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_kind_that_is_pruned_may_be_deleted_and_no_other() {
        for (group, resource, pruned) in [
            ("", "secrets", true),
            ("autoscaling", "horizontalpodautoscalers", true),
            ("policy", "poddisruptionbudgets", true),
            ("networking.k8s.io", "networkpolicies", true),
            ("", "persistentvolumeclaims", true),
            ("", "configmaps", true),
            ("networking.k8s.io", "ingresses", true),
            ("gateway.networking.k8s.io", "httproutes", true),
            ("monitoring.coreos.com", "podmonitors", true),
            ("monitoring.coreos.com", "prometheusrules", true),
            ("cert-manager.io", "certificates", true),
            ("apps", "deployments", false),
            ("", "services", false),
            ("", "serviceaccounts", false),
            ("rbac.authorization.k8s.io", "roles", false),
            ("rbac.authorization.k8s.io", "rolebindings", false),
            ("claw.dev", "clawgateways", false),
        ] {
            assert_eq!(allows(group, resource, "delete"), pruned, "{resource}");
            assert!(allows(group, resource, "watch"), "{resource}");
        }
    }

    #[test]
    fn no_rule_has_a_wildcard() {
        for Rule { rule, .. } in rules().into_iter().chain(lease_rules()) {
            let PolicyRule {
                api_groups,
                resources,
                verbs,
                ..
            } = rule;
            let groups = api_groups.into_iter().flatten();
            let mut texts = groups.chain(resources.into_iter().flatten()).chain(verbs);
            assert!(texts.all(|text| text != "*"));
        }
    }

    #[test]
    fn the_rules_read_well() {
        let listed: Vec<_> = rules()
            .into_iter()
            .chain(lease_rules())
            .map(|Rule { reason, rule }| (reason, rule))
            .collect();
        insta::assert_yaml_snapshot!(listed);
    }
}
