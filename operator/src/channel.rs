//! `Channel`: what its status tells besides conditions, and its status while no gateway speaks for it.

use claw_crds::{Channel, ChannelStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;

use crate::{
    attachment::Attachment,
    cache::Cache,
    world::{Guarded, World},
};

/// The platform that the spec names, unless it names none or several.
pub fn platform(channel: &Channel) -> Option<&'static str> {
    match (&channel.spec.web_socket, &channel.spec.telegram) {
        (Some(_), None) => Some("WebSocket"),
        (None, Some(_)) => Some("Telegram"),
        (None, None) | (Some(_), Some(_)) => None,
    }
}

/// Where the gateway serves it.
pub fn path(channel: &Channel) -> String {
    format!("/channels/{}", channel.name_any())
}

impl Attachment for Channel {
    fn cache(world: &World) -> &Cache<Guarded<Self>> {
        &world.channels
    }

    fn gateway(&self) -> &str {
        &self.spec.gateway_ref.name
    }

    fn detached_status(&self, conditions: Vec<Condition>) -> ChannelStatus {
        ChannelStatus {
            observed_generation: self.metadata.generation,
            conditions,
            platform: platform(self).map(str::to_owned),
            path: None,
        }
    }
}
