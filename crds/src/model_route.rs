//! `ModelRoute`: which request path goes to which model.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::HasConditions;

/// Which request paths go to which models of one gateway.
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
    doc = "Sends request paths of a gateway to its models, with a fallback for when a model fails.",
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

    /// The rules, tried in order. Where several ModelRoutes name one gateway, they are taken in the order of
    /// their names.
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

/// One rule.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.fallback) || self.fallback != self.model")
    .message("fallback must be another model than model"))]
pub struct Route {
    /// A regular expression, searched in the request path; begin it with ^ to match from the start. RE2 syntax,
    /// always linear in time.
    #[schemars(length(min = 1, max = 1024))]
    pub pattern: String,

    /// The model that answers.
    #[schemars(length(min = 1, max = 128))]
    pub model: String,

    /// The model that answers when the first one fails before its first token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub fallback: Option<String>,
}

/// A plain routing file: `clawdbot gateway --routes model-routing.yaml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoutingFile {
    /// The same list as `spec.routes` of a ModelRoute.
    pub routes: Vec<RoutingFileRoute>,
}

/// One rule of a plain routing file; unlike in the custom resource, an unknown field is refused, since there is
/// no API server to tell of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoutingFileRoute {
    /// As [`Route::pattern`].
    pub pattern: String,
    /// As [`Route::model`].
    pub model: String,
    /// As [`Route::fallback`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
}

impl From<RoutingFileRoute> for Route {
    fn from(route: RoutingFileRoute) -> Self {
        let RoutingFileRoute {
            pattern,
            model,
            fallback,
        } = route;
        Self {
            pattern,
            model,
            fallback,
        }
    }
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
