//! What the pods may do: read their own configuration, and nothing else.

use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};

use super::object_meta;
use crate::claw_gateway::validate::ValidatedGateway;

pub(super) fn build_role(gateway: &ValidatedGateway) -> Role {
    Role {
        metadata: object_meta(gateway, gateway.name.role()),
        rules: Some(vec![PolicyRule {
            api_groups: Some(vec![String::new()]),
            resources: Some(vec!["secrets".into()]),
            resource_names: Some(vec![gateway.name.config_secret()]),
            // A watch of one object by name begins with a list of that name.
            verbs: ["get", "list", "watch"].map(str::to_owned).into(),
            ..PolicyRule::default()
        }]),
    }
}

pub(super) fn build_role_binding(gateway: &ValidatedGateway) -> RoleBinding {
    RoleBinding {
        metadata: object_meta(gateway, gateway.name.role()),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".into(),
            kind: "Role".into(),
            name: gateway.name.role(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".into(),
            name: gateway.name.service_account(),
            namespace: Some(gateway.namespace.clone()),
            ..Subject::default()
        }]),
    }
}
