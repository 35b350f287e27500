//! Permissions as sets: what a role grants, and what the API server saw used.

use std::collections::BTreeSet;

use claw_e2e::control_plane::AuditedRequest;
use serde_json::Value;

/// API group, resource with its subresource, verb.
pub(crate) type Right = (String, String, String);

/// What the rules of a role grant.
pub(crate) fn granted(role: &Value) -> BTreeSet<Right> {
    let list = |value: &Value| -> Vec<String> {
        let texts = value.as_array().into_iter().flatten();
        texts
            .map(|text| text.as_str().expect("text").to_owned())
            .collect()
    };
    let mut rights = BTreeSet::new();
    for rule in role["rules"].as_array().into_iter().flatten() {
        for group in list(&rule["apiGroups"]) {
            for resource in list(&rule["resources"]) {
                for verb in list(&rule["verbs"]) {
                    rights.insert((group.clone(), resource.clone(), verb));
                }
            }
        }
    }
    rights
}

/// What the requests used. What the API server serves, which everybody may ask, is no resource and takes no right.
pub(crate) fn used(requests: &[AuditedRequest]) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for request in requests
        .iter()
        .filter(|request| !request.resource.is_empty())
    {
        let right = |verb: &str| {
            (
                request.group.clone(),
                request.resource.clone(),
                verb.to_owned(),
            )
        };
        rights.insert(right(&request.verb));
        // Server-side apply of what did not exist needs both.
        if request.verb == "patch" && request.code == 201 {
            rights.insert(right("create"));
        }
    }
    rights
}

/// The requests that were refused for want of a right.
pub(crate) fn refused(requests: &[AuditedRequest]) -> Vec<&AuditedRequest> {
    requests
        .iter()
        .filter(|request| request.code == 403)
        .collect()
}
