//! All children of one gateway, and whether they are only prepared or already live.

use std::marker::PhantomData;

use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{ConfigMap, PersistentVolumeClaim, Secret, Service, ServiceAccount},
    networking::v1::{Ingress, NetworkPolicy},
    policy::v1::PodDisruptionBudget,
    rbac::v1::{Role, RoleBinding},
};

use crate::kinds::{HttpRoute, PodMonitor, PrometheusRule};

/// As built; nothing is known of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prepared;

/// As the API server answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied;

/// Every child of one gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct Resources<Stage> {
    /// Who the pods are.
    pub service_account: ServiceAccount,
    /// What the pods may read: their own configuration.
    pub role: Role,
    /// Gives the role to the account.
    pub role_binding: RoleBinding,
    /// The certificate authority, where it is our own.
    pub ca: Option<Secret>,
    /// The serving certificate, where it is our own.
    pub tls: Option<Secret>,
    /// The configuration.
    pub config: Secret,
    /// The way in.
    pub service: Service,
    /// What the network lets through, where we say so.
    pub network_policy: Option<NetworkPolicy>,
    /// Where models are kept, if not on the node.
    pub volume_claim: Option<PersistentVolumeClaim>,
    /// The pods.
    pub deployment: Deployment,
    /// The autoscaler, if wanted.
    pub autoscaler: Option<HorizontalPodAutoscaler>,
    /// How many pods a drain may take at once, where there can be several.
    pub disruption_budget: Option<PodDisruptionBudget>,
    /// A way in by the Gateway API, if wanted and there.
    pub http_route: Option<HttpRoute>,
    /// A way in by an Ingress controller, if wanted.
    pub ingress: Option<Ingress>,
    /// How Prometheus finds the metrics, where its operator is installed.
    pub pod_monitor: Option<PodMonitor>,
    /// What Prometheus warns of, where its operator is installed.
    pub prometheus_rule: Option<PrometheusRule>,
    /// A dashboard, if wanted.
    pub dashboard: Option<ConfigMap>,
    /// How far it got.
    pub stage: PhantomData<Stage>,
}
