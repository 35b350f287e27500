//! `ModelRoute`: which requests go to which model.

mod backend;
mod header_match;
mod retries;
mod route;
mod timeouts;

pub use backend::Backend;
pub use header_match::{HeaderMatch, HeaderMatchType};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
pub use retries::Retries;
pub use route::Route;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
pub use timeouts::Timeouts;

use crate::condition::HasConditions;

/// Which requests go to which models of one gateway.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "claw.dev",
    version = "v1alpha1",
    kind = "ModelRoute",
    plural = "modelroutes",
    shortname = "mr",
    category = "claw",
    namespaced,
    status = "ModelRouteStatus",
    derive = "PartialEq",
    doc = "Sends requests of a gateway to its models by path, model name and headers, with fallbacks for when a model fails.",
    printcolumn(
        name = "Gateway",
        type_ = "string",
        json_path = ".spec.gatewayRef.name"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#
    ),
    printcolumn(name = "Routes", type_ = "integer", json_path = ".status.routes"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct ModelRouteSpec {
    /// The ClawGateway of this namespace that serves the routes.
    pub gateway_ref: GatewayRef,

    /// The rules; the first one that matches a request wins. Where several ModelRoutes name one gateway, they are taken
    /// in the order of their names.
    #[schemars(length(min = 1, max = 256))]
    pub routes: Vec<Route>,
}

/// A ClawGateway of the same namespace.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayRef {
    /// Its name.
    #[schemars(length(min = 1, max = 50))]
    pub name: String,
}

/// What became of the routes.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelRouteStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Accepted, ResolvedRefs, Programmed and Ready, each with its reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,

    /// How many rules the gateway serves.
    #[serde(default)]
    pub routes: i32,
}

impl HasConditions for ModelRouteStatus {
    fn conditions(&self) -> &[Condition] {
        &self.conditions
    }
}
