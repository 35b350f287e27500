//! `Channel`: one bot on a chat platform, or one WebSocket integration.

mod access;
mod status;
mod telegram;
mod web_socket;

pub use access::{Access, Direct, Groups};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
pub use status::ChannelStatus;
pub use telegram::Telegram;
pub use web_socket::WebSocket;

use crate::model_route::GatewayRef;

/// One way for people to chat with a model of a gateway: exactly one of webSocket and telegram.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "claw.dev",
    version = "v1alpha1",
    kind = "Channel",
    plural = "channels",
    shortname = "ch",
    category = "claw",
    namespaced,
    status = "ChannelStatus",
    derive = "PartialEq",
    doc = "Connects a chat platform to a model of a gateway. The gateway serves it at `/channels/<name>`.",
    printcolumn(
        name = "Gateway",
        type_ = "string",
        json_path = ".spec.gatewayRef.name"
    ),
    printcolumn(name = "Platform", type_ = "string", json_path = ".status.platform"),
    printcolumn(name = "Model", type_ = "string", json_path = ".spec.model"),
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
    printcolumn(
        name = "Path",
        type_ = "string",
        json_path = ".status.path",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.webSocket) != has(self.telegram)")
    .message("set exactly one of webSocket and telegram"))]
#[x_kube(validation = Rule::new("!has(self.webSocket) || self.access.groups == 'Disabled'")
    .message("access.groups needs a platform with groups: leave it out with webSocket"))]
pub struct ChannelSpec {
    /// The ClawGateway of this namespace that serves the channel.
    pub gateway_ref: GatewayRef,

    /// The model that answers.
    #[schemars(length(min = 1, max = 128))]
    pub model: String,

    /// Instructions that stand before every conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32768))]
    pub system_prompt: Option<String>,

    /// The gateway's own WebSocket protocol, for web pages and programs. Callers authenticate as for the API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_socket: Option<WebSocket>,

    /// A Telegram bot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telegram: Option<Telegram>,

    /// Who is answered.
    pub access: Access,
}
