//! What the operator may do in the test's namespace: exactly the rules from its own table, which its chart grants.

use claw_operator::rbac::{Rule, lease_rules, rules};
use serde_json::json;

use crate::context::Context;

/// Make the account and give it the operator's permissions in the namespace.
pub(crate) async fn grant(context: &Context, account: &str) {
    let rules: Vec<_> = rules()
        .into_iter()
        .chain(lease_rules())
        .map(|Rule { rule, .. }| rule)
        .collect();
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": account},
            "rules": rules,
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": account},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": context.namespace}],
        },
    ]});
    let applied = context.kubectl().apply(&objects.to_string()).await;
    applied.expect("the operator's permissions are granted");
}
