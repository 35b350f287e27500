//! The API server's own record of who asked for what: the judge of "reconciling again writes nothing", and of whether
//! permissions are neither too many nor too few.

use std::{
    collections::BTreeSet,
    io::{Seek, SeekFrom},
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::Value;

use super::{Error, write_error};

/// What people and controllers read is not recorded: it would drown the rest.
const POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  verbs: [create, update, patch, delete, deletecollection]
- level: None
  userGroups: ['system:serviceaccounts:kube-system']
- level: Metadata
  userGroups: ['system:serviceaccounts']
- level: None
";
/// The verbs that change something.
const WRITES: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];

/// How an event says that no permission covers the request; other things are answered with 403, too.
const FORBID: &str = "\"authorization.k8s.io/decision\":\"forbid\"";

/// The audit log of a control plane.
#[derive(Clone, Debug)]
pub struct Audit {
    policy: PathBuf,
    log: PathBuf,
    /// Where in the log an API server stood that was not ready yet.
    starts: Arc<Mutex<Vec<Range<u64>>>>,
}

/// One request as the API server saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditedRequest {
    /// Who, e.g. `system:serviceaccount:shop:claw-operator`.
    pub user: String,
    /// `get`, `list`, `watch`, or one that changes something.
    pub verb: String,
    /// API group; empty for the core.
    pub group: String,
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
    pub(crate) fn prepare(directory: &Path) -> Result<Self, Error> {
        let policy = directory.join("audit-policy.yaml");
        std::fs::write(&policy, POLICY).map_err(|source| write_error(&policy, source))?;
        let log = directory.join("audit.log");
        Ok(Self {
            policy,
            log,
            starts: Arc::default(),
        })
    }

    pub(super) fn policy(&self) -> &Path {
        &self.policy
    }

    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// All writes until now, in order. An event is in the log before its request is answered.
    pub fn writes(&self) -> Vec<AuditedRequest> {
        self.read().filter(is_write).collect()
    }

    /// Where the log ends now, for `writes_after`.
    pub fn end(&self) -> u64 {
        std::fs::metadata(&self.log).map_or(0, |file| file.len())
    }

    /// The API server that was started when the log ended at `end` is ready now.
    pub(crate) fn started_at(&self, end: u64) {
        let mut starts = self.starts.lock().unwrap_or_else(PoisonError::into_inner);
        starts.push(end..self.end());
    }

    /// The writes since the log ended at `end`, in order. Quick to ask again and again, however long the log is.
    pub fn writes_after(&self, end: u64) -> Vec<AuditedRequest> {
        let log = tail(&self.log, end).unwrap_or_default();
        log.lines().filter_map(parse).filter(is_write).collect()
    }

    /// All requests of a ServiceAccount until now, in order. A watch is there twice: when it begins and when it ends.
    pub fn requests_of(&self, user: &str) -> Vec<AuditedRequest> {
        self.read().filter(|request| request.user == user).collect()
    }

    /// What ServiceAccounts asked for without a permission, in order. Not where the namespace or a binding in it was
    /// deleted before: whoever is about to end there may have lost its permissions a moment earlier. Nor by an API
    /// server that was not ready: until it has read all roles, it refuses what they allow.
    pub fn refused(&self) -> Vec<AuditedRequest> {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let mut deleted = BTreeSet::new();
        let mut refused = Vec::new();
        let starts = self.starts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut end = 0;
        for line in log.split_inclusive('\n') {
            let start = end;
            end += line.len() as u64;
            let Some(request) = parse(line) else { continue };
            let scope = (request.resource.clone(), request.namespace.clone());
            let is_refused = line.contains(FORBID);
            match (request.resource.as_str(), request.verb.as_str()) {
                _ if is_refused => {
                    let namespace = &request.namespace;
                    let ends = deleted.iter().any(|(_, deleted)| deleted == namespace);
                    let starts = starts.iter().any(|starts| starts.contains(&start));
                    if !ends && !starts {
                        refused.push(request);
                    }
                }
                ("namespaces", "delete") => {
                    deleted.insert((request.resource, request.name));
                }
                ("rolebindings", "delete") => {
                    deleted.insert(scope);
                }
                ("rolebindings", "create" | "patch") => {
                    deleted.remove(&scope);
                }
                _ => {}
            }
        }
        refused
    }

    fn read(&self) -> impl Iterator<Item = AuditedRequest> {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let requests: Vec<AuditedRequest> = log.lines().filter_map(parse).collect();
        requests.into_iter()
    }
}

fn is_write(request: &AuditedRequest) -> bool {
    WRITES.contains(&request.verb.as_str())
}

fn tail(log: &Path, start: u64) -> std::io::Result<String> {
    let mut log = std::fs::File::open(log)?;
    log.seek(SeekFrom::Start(start))?;
    std::io::read_to_string(log)
}

fn parse(line: &str) -> Option<AuditedRequest> {
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
    Some(AuditedRequest {
        user: text("/user/username"),
        verb: text("/verb"),
        group: text("/objectRef/apiGroup"),
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
        let line = r#"{"user":{"username":"jo"},"verb":"patch","objectRef":{"apiGroup":"claw.dev",
            "resource":"clawgateways","subresource":"status","namespace":"shop","name":"helpdesk"},"responseStatus":{"code":200}}"#;
        let request = AuditedRequest {
            user: "jo".into(),
            verb: "patch".into(),
            group: "claw.dev".into(),
            resource: "clawgateways/status".into(),
            namespace: "shop".into(),
            name: "helpdesk".into(),
            code: 200,
        };
        assert_eq!(parse(line), Some(request));
        assert_eq!(parse(&line[..40]), None);
    }

    /// An event of a log without a user.
    fn event(verb: &str, resource: &str, namespace: &str, name: &str, decision: &str) -> String {
        format!(
            "{{\"verb\":\"{verb}\",\"objectRef\":{{\"resource\":\"{resource}\",\"namespace\":\"{namespace}\",\
             \"name\":\"{name}\"}},\"responseStatus\":{{\"code\":200}},\
             \"annotations\":{{\"authorization.k8s.io/decision\":\"{decision}\"}}}}\n"
        )
    }

    fn audit(directory: &tempfile::TempDir) -> Audit {
        Audit {
            policy: PathBuf::new(),
            log: directory.path().join("audit.log"),
            starts: Arc::default(),
        }
    }

    fn names(requests: Vec<AuditedRequest>) -> Vec<String> {
        requests.into_iter().map(|request| request.name).collect()
    }

    #[test]
    fn what_was_written_before_is_left_out() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let audit = audit(&directory);
        assert_eq!(audit.end(), 0);
        let one = event("patch", "secrets", "shop", "one", "allow");
        std::fs::write(&audit.log, &one).expect("writable");
        let end = audit.end();
        let two = event("patch", "secrets", "shop", "two", "allow");
        std::fs::write(&audit.log, one + &two).expect("writable");
        assert_eq!(names(audit.writes_after(end)), ["two"]);
    }

    #[test]
    fn what_is_refused_where_permissions_were_deleted_does_not_count() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let audit = audit(&directory);
        let refused =
            |namespace: &str, name: &str| event("get", "leases", namespace, name, "forbid");
        let log = [
            event("get", "leases", "claw", "allowed", "allow"),
            refused("claw", "while it runs"),
            event("delete", "rolebindings", "claw", "operator", "allow"),
            refused("claw", "while it ends"),
            refused("shop", "elsewhere"),
            event("patch", "rolebindings", "claw", "operator", "allow"),
            refused("claw", "when it is back"),
            event("delete", "namespaces", "", "claw", "allow"),
            event("patch", "rolebindings", "claw", "operator", "allow"),
            refused("claw", "when all is deleted"),
        ];
        std::fs::write(&audit.log, log.concat()).expect("writable");
        let expected = ["while it runs", "elsewhere", "when it is back"];
        assert_eq!(names(audit.refused()), expected);
    }

    #[test]
    fn what_an_api_server_refuses_before_it_is_ready_does_not_count() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let audit = audit(&directory);
        let mut log = String::new();
        let mut refuse = |name: &str| {
            log.push_str(&event("watch", "secrets", "shop", name, "forbid"));
            std::fs::write(&audit.log, &log).expect("writable");
        };
        refuse("before");
        let end = audit.end();
        refuse("while it starts");
        audit.started_at(end);
        refuse("after");
        assert_eq!(names(audit.refused()), ["before", "after"]);
    }
}
