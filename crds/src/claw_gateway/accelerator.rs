//! Where local models run.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Toleration;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where local models run. All fields but type need type Nvidia.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "self.type == 'Nvidia' || !(has(self.count) || has(self.resourceName) || has(self.nodeSelector) \
     || has(self.tolerations) || has(self.runtimeClassName))")
    .message("count, resourceName, nodeSelector, tolerations and runtimeClassName need type: Nvidia"))]
pub struct Accelerator {
    /// Auto uses a CUDA GPU where the container finds one and the CPU otherwise; None is always the CPU; Nvidia
    /// requests GPUs from the scheduler and fails rather than fall back.
    #[serde(rename = "type", default)]
    pub accelerator_type: AcceleratorType,

    /// GPUs for each replica; 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 16))]
    pub count: Option<i32>,

    /// The extended resource to request: nvidia.com/gpu when absent, or that of a MIG profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 253),
        regex(
            pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
        )
    )]
    pub resource_name: Option<String>,

    /// Labels that a node must carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<BTreeMap<String, String>>,

    /// Taints that the pods put up with, besides the one named after the resource, which is always tolerated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerations: Option<Vec<Toleration>>,

    /// RuntimeClass of the pods, e.g. nvidia.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub runtime_class_name: Option<String>,
}

/// Kinds of accelerator.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AcceleratorType {
    /// A GPU where one is found, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    None,
    /// NVIDIA GPUs by CUDA.
    Nvidia,
}

impl Accelerator {
    /// The extended resource name to request.
    pub fn resource_name_or_default(&self) -> &str {
        self.resource_name.as_deref().unwrap_or("nvidia.com/gpu")
    }
}
