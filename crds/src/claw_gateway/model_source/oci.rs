//! An artifact of a container registry.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret_ref::SecretRef;

/// An artifact of a container registry: each of its layers is a file, named by the annotation
/// `org.opencontainers.image.title`, as `oras push` writes it.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OciSource {
    /// Registry, repository and tag or digest, e.g. registry.example.com/models/smollm2:q8 or
    /// ghcr.io/team/model@sha256:…. A digest never changes, and is fetched without asking the registry again.
    #[schemars(
        length(min = 1, max = 512),
        regex(
            pattern = r"^[a-zA-Z0-9][a-zA-Z0-9.-]*(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[0-9a-f]{64})?$"
        )
    )]
    pub reference: String,

    /// A Secret of type kubernetes.io/dockerconfigjson with an entry for the registry, as
    /// `kubectl create secret docker-registry` makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_secret: Option<SecretRef>,

    /// Speak HTTP without TLS to the registry, for one inside the cluster.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub plain_http: bool,
}

impl OciSource {
    /// The registry as it is called; `None` where the reference has no repository.
    pub fn registry_url(&self) -> Option<String> {
        let (host, _) = self.reference.split_once('/')?;
        // What everybody calls it is not where it is.
        let called = if host == "docker.io" {
            "registry-1.docker.io"
        } else {
            host
        };
        let scheme = if self.plain_http { "http" } else { "https" };
        Some(format!("{scheme}://{called}"))
    }
}
