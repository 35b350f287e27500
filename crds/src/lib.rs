//! The contract of the platform: the custom resources of `claw.dev/v1alpha1`, the configuration that a gateway
//! runs on, and the pure compiler between the two.
//!
//! Nothing here does I/O. The operator and the standalone gateway call the same [`compile()`], so a cluster and a
//! laptop behave alike.

#![expect(
    clippy::duplicated_attributes,
    reason = "each print column of a custom resource has a type and a path of its own"
)]
#![expect(
    unreachable_pub,
    reason = "kube's KubeSchema derive repeats each public struct inside a function"
)]

pub mod channel;
pub mod claw_gateway;
pub mod compile;
pub mod condition;
pub mod crd_yaml;
pub mod duration;
pub mod gateway_config;
pub mod manifest;
pub mod metric_catalog;
pub mod model_route;
pub mod money;
mod number_or_text;
pub mod outbound;
pub mod pki;
pub mod public_value;
pub mod quantity;
pub mod secret_ref;

pub use channel::{Channel, ChannelSpec, ChannelStatus};
pub use claw_gateway::{ClawGateway, ClawGatewaySpec, ClawGatewayStatus};
pub use compile::{Compilation, Inputs, Problem, compile};
pub use gateway_config::GatewayConfig;
pub use model_route::{ModelRoute, ModelRouteSpec, ModelRouteStatus};

/// The API group of all kinds.
pub const GROUP: &str = "claw.dev";
/// The version of all kinds.
pub const VERSION: &str = "v1alpha1";
/// `apiVersion` of all kinds.
pub const API_VERSION: &str = "claw.dev/v1alpha1";
/// The label of what a program has made, and its value for what the operator has.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "claw-operator");
/// The port of everything that users reach.
pub const GATEWAY_PORT: u16 = 18789;
/// The port of probes, metrics and status, for the pod network only.
pub const MANAGEMENT_PORT: u16 = 18790;
/// Where the pods of a gateway mount the claims that models come from, each under its name.
pub const CLAIMS_DIR: &str = "/mnt/models";
