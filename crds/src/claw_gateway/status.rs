//! What became of a gateway.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::HasConditions;

/// What became of the gateway.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClawGatewayStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Accepted, ResolvedRefs, Programmed and Ready, each with its reason; and, only while they are true, Reconciling
    /// (on the way to what the spec says) or Stalled (needs somebody's help to get there).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,

    /// Pods that exist.
    #[serde(default)]
    pub replicas: i32,

    /// Pods that serve.
    #[serde(default)]
    pub ready_replicas: i32,

    /// Serving and wanted pods, as shown by kubectl: 2/3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas_summary: Option<String>,

    /// The pods' label selector, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,

    /// Where clients in the cluster find the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,

    /// How many models are configured.
    #[serde(default)]
    pub models: i32,

    /// On which device each local model runs, and why, as the pods tell. Absent while none of them could be asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<ModelDevice>,

    /// When the serving certificate ends, RFC 3339. Absent without TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_expires: Option<String>,
}

/// Where a local model runs.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelDevice {
    /// The model's name.
    pub model: String,

    /// The device, e.g. Cpu or Cuda; None while it is not loaded; several where the pods differ.
    pub device: String,

    /// Why this one, or why none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl HasConditions for ClawGatewayStatus {
    fn conditions(&self) -> &[Condition] {
        &self.conditions
    }
}
