//! Credentials of a container registry, as Docker and Kubernetes keep them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;

use super::{
    Secrets,
    problem::{ObjectRef, Problem, ProblemReason},
};
use crate::gateway_config::Redacted;

/// The entry of a Secret of type kubernetes.io/dockerconfigjson.
const ENTRY: &str = ".dockerconfigjson";

#[derive(Deserialize)]
struct DockerConfig {
    auths: std::collections::BTreeMap<String, Auth>,
}

#[derive(Deserialize)]
struct Auth {
    username: Option<String>,
    password: Option<String>,
    /// `user:password` in Base64.
    #[serde(rename = "auth")]
    pair: Option<String>,
}

/// User and password for a registry. `field` holds the reference to the Secret.
pub(super) fn registry_credentials(
    object: &ObjectRef,
    field: &str,
    name: &str,
    host: &str,
    secrets: &Secrets,
) -> Result<(Redacted, Redacted), Problem> {
    let problem = |reason, message: String, remedy: &str| {
        Problem::invalid(object, format!("{field}.name"), message, remedy)
            .with_value(name)
            .with_reason(reason)
    };
    let create = "create it by `kubectl create secret docker-registry`";
    let secret = secrets.get(name).ok_or_else(|| {
        let message = "no Secret of that name in this namespace".to_owned();
        problem(ProblemReason::SecretNotFound, message, create)
    })?;
    let bytes = secret.data.get(ENTRY).ok_or_else(|| {
        let message = format!("the Secret has no entry {ENTRY}");
        problem(ProblemReason::SecretNotFound, message, create)
    })?;
    let invalid =
        |message: String, remedy: &str| problem(ProblemReason::InvalidSecret, message, remedy);
    // What serde says of it could repeat a password.
    let config: DockerConfig = serde_json::from_slice(bytes).map_err(|_| {
        let message = format!("the entry {ENTRY} is not the configuration of a Docker client");
        invalid(message, create)
    })?;
    let auth = config
        .auths
        .iter()
        .find(|(registry, _)| host_of(registry) == host_of(host))
        .map(|(_, auth)| auth)
        .ok_or_else(|| {
            let message = format!("the Secret has no credentials for {host}");
            invalid(message, "add an entry for that registry to it")
        })?;
    pair(auth).ok_or_else(|| {
        let message = format!("the Secret has no user and password for {host}");
        invalid(message, "store username and password, or auth")
    })
}

/// Entries are hosts, or, of old, URLs; Docker's own registry has several names.
fn host_of(registry: &str) -> &str {
    let rest = registry
        .strip_prefix("https://")
        .or_else(|| registry.strip_prefix("http://"))
        .unwrap_or(registry);
    let host = rest.split('/').next().unwrap_or(rest);
    match host {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        host => host,
    }
}

fn pair(auth: &Auth) -> Option<(Redacted, Redacted)> {
    if let (Some(user), Some(password)) = (&auth.username, &auth.password) {
        return Some((Redacted::new(user), Redacted::new(password)));
    }
    let decoded = BASE64.decode(auth.pair.as_ref()?.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((Redacted::new(user), Redacted::new(password)))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::compile::Secret;

    fn found(entry: &str, host: &str) -> Result<(Redacted, Redacted), String> {
        let object = ObjectRef {
            kind: "ClawGateway".to_owned(),
            name: "desk".to_owned(),
        };
        let mut secrets = Secrets::default();
        let data = [(ENTRY.to_owned(), entry.as_bytes().to_vec())].into();
        secrets.insert(
            "pull",
            Secret {
                data,
                ..Secret::default()
            },
        );
        registry_credentials(&object, "pullSecret", "pull", host, &secrets)
            .map_err(|problem| problem.to_string())
    }

    #[rstest]
    #[case::plain(
        r#"{"auths": {"r.example": {"username": "me", "password": "p:w"}}}"#,
        "r.example"
    )]
    #[case::encoded(
        r#"{"auths": {"https://r.example/v1/": {"auth": "bWU6cDp3"}}}"#,
        "r.example"
    )]
    #[case::docker_hub(
        r#"{"auths": {"https://index.docker.io/v1/": {"auth": "bWU6cDp3"}}}"#,
        "docker.io"
    )]
    fn credentials_are_found(#[case] entry: &str, #[case] host: &str) {
        let (user, password) = found(entry, host).expect("found");
        assert_eq!((user.expose(), password.expose()), ("me", "p:w"));
    }

    #[rstest]
    #[case::another_registry(
        r#"{"auths": {"r.example": {"auth": "x"}}}"#,
        "no credentials for o.example"
    )]
    #[case::no_json("s3cret", "is not the configuration of a Docker client")]
    #[case::nothing_in_it(
        r#"{"auths": {"o.example": {}}}"#,
        "no user and password for o.example"
    )]
    fn what_is_missing_is_told_without_the_content(#[case] entry: &str, #[case] expected: &str) {
        let told = found(entry, "o.example").expect_err("refused");
        assert!(
            told.contains(expected) && !told.contains("s3cret"),
            "{told}"
        );
    }
}
