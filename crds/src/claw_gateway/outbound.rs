//! What the gateway may call.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// What the gateway may call besides public addresses of the internet, by the URLs of its models and channels.
///
/// Without an entry here, private, loopback, link-local and other special addresses are refused, whatever name leads
/// to them: a name is looked up once for each connection, and what it leads to is checked.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outbound {
    /// Address ranges that may be called, e.g. 10.0.0.0/8. The metadata services of clouds (169.254.169.254 and the
    /// like) stay refused unless the very address is listed, e.g. 169.254.169.254/32.
    #[serde(
        rename = "allowedCIDRs",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(
        length(min = 1, max = 64),
        inner(length(max = 64), regex(pattern = r"^[0-9a-fA-F.:]+/[0-9]{1,3}$"))
    )]
    pub allowed_cidrs: Option<Vec<String>>,

    /// Host names, written as in the URLs, that may lead to private addresses: Services of the cluster such as vllm
    /// or vllm.shop.svc. They never lead to the pod itself (but localhost does), its node or a metadata service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 64),
        inner(
            length(min = 1, max = 253),
            regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")
        )
    )]
    pub allowed_hosts: Option<Vec<String>>,
}
