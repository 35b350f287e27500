//! Where fetched and imported models are kept.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::quantity::Quantity;

/// Disk space for fetched and imported models.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "!has(self.persistentVolumeClaim) || !has(oldSelf.persistentVolumeClaim) || !has(self.size) || !has(oldSelf.size) \
     || quantity(string(self.size)).compareTo(quantity(string(oldSelf.size))) >= 0")
    .message("a claim grows but never shrinks: keep the size, or remove persistentVolumeClaim and claim anew"))]
pub struct Storage {
    /// Space for fetched and imported models, e.g. 100Gi; what the size of the gateway says when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Quantity>,

    /// Keep the files in a PersistentVolumeClaim named `<gateway>-state`, shared by all replicas, so that a new pod
    /// need not fetch them again. Absent means space on the node that goes with the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<VolumeClaim>,
}

/// The claim for the files.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.accessMode == oldSelf.accessMode")
        .message("accessMode of a claim cannot change: remove persistentVolumeClaim, delete the claim, and set it anew"),
    validation = Rule::new(
        "has(self.storageClassName) == has(oldSelf.storageClassName) \
         && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)")
        .message("storageClassName of a claim cannot change: remove persistentVolumeClaim, delete the claim, and set it anew")
)]
pub struct VolumeClaim {
    /// The StorageClass; the cluster's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class_name: Option<String>,

    /// ReadWriteOnce: one replica, whose pod stops before its successor starts. ReadWriteMany: any number.
    #[serde(default)]
    pub access_mode: AccessMode,

    /// Whether the claim goes with the gateway. Retain keeps it, and a gateway of the same name takes it over.
    #[serde(default)]
    pub when_deleted: WhenDeleted,
}

/// How many nodes may use the volume.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccessMode {
    /// One node.
    #[default]
    ReadWriteOnce,
    /// Many nodes.
    ReadWriteMany,
}

impl AccessMode {
    /// As Kubernetes spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadWriteOnce => "ReadWriteOnce",
            Self::ReadWriteMany => "ReadWriteMany",
        }
    }
}

/// What becomes of the claim without its gateway.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum WhenDeleted {
    /// It stays.
    #[default]
    Retain,
    /// It goes, with everything in it.
    Delete,
}
