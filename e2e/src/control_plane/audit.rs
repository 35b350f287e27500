//! The API server's own record of who wrote what: the judge of "reconciling again writes nothing".

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Error, write_error};

/// Only requests that change something are recorded; reads would drown them.
const POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  verbs: [create, update, patch, delete, deletecollection]
- level: None
";

/// The audit log of a control plane.
#[derive(Clone, Debug)]
pub struct Audit {
    policy: PathBuf,
    log: PathBuf,
}

/// One write as the API server saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Who, e.g. `system:serviceaccount:shop:claw-operator`.
    pub user: String,
    /// `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// Resource, with the subresource if any, e.g. `clawgateways/status`.
    pub resource: String,
    /// Namespace; empty for cluster-wide objects.
    pub namespace: String,
    /// Name of the object; empty where the server chose it.
    pub name: String,
    /// The answer's HTTP status.
    pub code: u64,
}

impl Audit {
    pub(super) fn prepare(directory: &Path) -> Result<Self, Error> {
        let policy = directory.join("audit-policy.yaml");
        std::fs::write(&policy, POLICY).map_err(|source| write_error(&policy, source))?;
        let log = directory.join("audit.log");
        Ok(Self { policy, log })
    }

    pub(super) fn policy(&self) -> &Path {
        &self.policy
    }

    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// All writes until now, in order. An event is in the log before its request is answered.
    pub fn writes(&self) -> Vec<Write> {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().filter_map(parse).collect()
    }
}

fn parse(line: &str) -> Option<Write> {
    // A line that is being written right now is no JSON yet.
    let event: Value = serde_json::from_str(line).ok()?;
    let text = |pointer: &str| {
        let value = event.pointer(pointer).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let resource = match (text("/objectRef/resource"), text("/objectRef/subresource")) {
        (resource, subresource) if subresource.is_empty() => resource,
        (resource, subresource) => format!("{resource}/{subresource}"),
    };
    Some(Write {
        user: text("/user/username"),
        verb: text("/verb"),
        resource,
        namespace: text("/objectRef/namespace"),
        name: text("/objectRef/name"),
        code: event.pointer("/responseStatus/code")?.as_u64()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read() {
        let line = r#"{"user":{"username":"jo"},"verb":"patch","objectRef":{"resource":"clawgateways",
            "subresource":"status","namespace":"shop","name":"helpdesk"},"responseStatus":{"code":200}}"#;
        let write = Write {
            user: "jo".into(),
            verb: "patch".into(),
            resource: "clawgateways/status".into(),
            namespace: "shop".into(),
            name: "helpdesk".into(),
            code: 200,
        };
        assert_eq!(parse(line), Some(write));
        assert_eq!(parse(&line[..40]), None);
    }
}
