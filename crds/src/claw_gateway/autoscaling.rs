//! Scaling by CPU use.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Scale the replicas by CPU use.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.minReplicas <= self.maxReplicas")
    .message("minReplicas must not be greater than maxReplicas"))]
pub struct Autoscaling {
    /// Fewest replicas.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub min_replicas: i32,

    /// Most replicas.
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: i32,

    /// CPU use, in percent of what the pods request, over which replicas are added.
    #[serde(default = "default_cpu_utilization")]
    #[schemars(range(min = 1, max = 100))]
    pub cpu_utilization: i32,

    /// For how many seconds the use must stay over it.
    #[serde(default = "default_window_seconds")]
    #[schemars(range(min = 0, max = 3600))]
    pub window_seconds: i32,

    /// How many replicas are added at a time.
    #[serde(default = "default_step_pods")]
    #[schemars(range(min = 1, max = 100))]
    pub step_pods: i32,
}

const fn one() -> i32 {
    1
}

const fn default_cpu_utilization() -> i32 {
    70
}

const fn default_window_seconds() -> i32 {
    600
}

const fn default_step_pods() -> i32 {
    2
}
