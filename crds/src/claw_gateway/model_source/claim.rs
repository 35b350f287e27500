//! Files of a volume.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Files of a PersistentVolumeClaim of the same namespace, which every pod mounts read-only.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.path) || !self.path.split('/').exists(part, part == '..')")
    .message("path stays within the volume: leave out .."))]
pub struct ClaimSource {
    /// The claim. Several replicas need one that several nodes may read (ReadOnlyMany or ReadWriteMany). A pod starts
    /// only once the claim is there and bound.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
    )]
    pub claim_name: String,

    /// A GGUF file, or a directory made by `clawdbot model import`, within the volume; the volume itself when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"^[^/].*$"))]
    pub path: Option<String>,
}
