//! From changes to the objects that have to be looked at. No I/O.
//!
//! Listed objects reach the caches only with the end of their list; what is asked for before that is asked for
//! again by `Relisted`.

use claw_crds::{Channel, ClawGateway, ModelRoute};
use k8s_openapi::{
    api::core::v1::{ConfigMap, Secret},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Resource, ResourceExt, core::PartialObjectMeta};

use crate::{
    attachment::Attachment,
    attachments::Attachments,
    secret_index::SecretIndex,
    watch::Change,
    world::{Guarded, World, belongs_to},
};

/// A change of any kind that is watched.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is only ever one, on its way from a watch to the dispatcher"
)]
pub enum Event {
    /// Of a gateway.
    Gateway(Change<Guarded<ClawGateway>>),
    /// Of a route.
    Route(Change<Guarded<ModelRoute>>),
    /// Of a channel.
    Channel(Change<Guarded<Channel>>),
    /// Of something that a gateway owns, whatever its kind.
    Child(Change<ObjectMeta>),
    /// Of any Secret.
    Secret(Change<PartialObjectMeta<Secret>>),
    /// Of any ConfigMap.
    ConfigMap(Change<PartialObjectMeta<ConfigMap>>),
}

/// Namespace and name of an object.
pub type Key = (String, String);

/// What has to be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// By the controller of gateways.
    pub gateways: Vec<Key>,
    /// By the controller of routes.
    pub routes: Vec<Key>,
    /// By the controller of channels.
    pub channels: Vec<Key>,
    /// Gateways that are gone for good.
    pub gone: Vec<Key>,
}

/// Knows which objects concern which.
#[derive(Debug, Default)]
pub struct Dispatcher {
    routes: Attachments,
    channels: Attachments,
}

impl Dispatcher {
    /// What has to be looked at after `event`.
    pub fn dispatch(&mut self, event: Event, world: &World, secrets: &mut SecretIndex) -> Requests {
        match event {
            Event::Gateway(change) => on_gateway(change, world, secrets),
            Event::Route(change) => {
                let (gateways, routes) = on_attachment(&mut self.routes, change, world);
                Requests {
                    gateways,
                    routes,
                    ..Requests::default()
                }
            }
            Event::Channel(change) => {
                let (gateways, channels) = on_attachment(&mut self.channels, change, world);
                Requests {
                    gateways,
                    channels,
                    ..Requests::default()
                }
            }
            Event::Child(change) => only_gateways(on_child(change, world)),
            Event::Secret(change) => only_gateways(on_secret(change, world, secrets)),
            Event::ConfigMap(change) => only_gateways(on_config_map(change, world, secrets)),
        }
    }
}

fn only_gateways(gateways: Vec<Key>) -> Requests {
    Requests {
        gateways,
        ..Requests::default()
    }
}

fn on_gateway(
    change: Change<Guarded<ClawGateway>>,
    world: &World,
    secrets: &SecretIndex,
) -> Requests {
    match change {
        Change::Touched(gateway) => only_gateways(vec![key(&gateway)]),
        Change::Deleted(gateway) => {
            let gone = key(&gateway);
            Requests {
                routes: attached_to::<ModelRoute>(&gone, world),
                channels: attached_to::<Channel>(&gone, world),
                gone: vec![gone],
                ..Requests::default()
            }
        }
        Change::Relisted => Requests {
            gateways: all_gateways(world),
            routes: world.routes.keys(),
            channels: world.channels.keys(),
            // Nobody tells what was deleted while the watch was interrupted.
            gone: secrets
                .gateways()
                .filter(|(namespace, name)| world.gateways.get(namespace, name).is_none())
                .cloned()
                .collect(),
        },
    }
}

fn on_attachment<K: Attachment>(
    index: &mut Attachments,
    change: Change<Guarded<K>>,
    world: &World,
) -> (Vec<Key>, Vec<Key>) {
    match change {
        Change::Touched(object) => {
            let (namespace, name) = key(&object);
            let gateway = object.0.as_ref().ok().map(Attachment::gateway);
            let gateways = index.touched(&namespace, &name, gateway);
            let this = vec![(namespace.clone(), name)];
            (within(&namespace, gateways), this)
        }
        Change::Deleted(object) => {
            let (namespace, name) = key(&object);
            let gateways = index.deleted(&namespace, &name);
            (within(&namespace, gateways), Vec::new())
        }
        Change::Relisted => (all_gateways(world), K::cache(world).keys()),
    }
}

fn on_child(change: Change<ObjectMeta>, world: &World) -> Vec<Key> {
    match change {
        Change::Touched(child) | Change::Deleted(child) => {
            let gateway = belongs_to(&child);
            let namespace = child.namespace.unwrap_or_default();
            let key = gateway.map(|gateway| (namespace, gateway));
            key.into_iter().collect()
        }
        Change::Relisted => all_gateways(world),
    }
}

fn on_secret(
    change: Change<PartialObjectMeta<Secret>>,
    world: &World,
    index: &mut SecretIndex,
) -> Vec<Key> {
    let (secret, is_gone) = match change {
        Change::Touched(secret) => (secret, false),
        Change::Deleted(secret) => (secret, true),
        Change::Relisted => return all_gateways(world),
    };
    let (namespace, name) = key(&secret);
    let labels = secret.metadata.labels.unwrap_or_default();
    let gateways = if is_gone {
        index.deleted(&namespace, &name, &labels)
    } else {
        index.touched(&namespace, &name, &labels)
    };
    within(&namespace, gateways)
}

fn on_config_map(
    change: Change<PartialObjectMeta<ConfigMap>>,
    world: &World,
    index: &SecretIndex,
) -> Vec<Key> {
    match change {
        Change::Touched(map) | Change::Deleted(map) => {
            let (namespace, name) = key(&map);
            within(&namespace, index.config_map_touched(&namespace, &name))
        }
        Change::Relisted => all_gateways(world),
    }
}

fn within(namespace: &str, gateways: Vec<String>) -> Vec<Key> {
    gateways
        .into_iter()
        .map(|gateway| (namespace.to_owned(), gateway))
        .collect()
}

fn attached_to<K: Attachment>((namespace, gateway): &Key, world: &World) -> Vec<Key> {
    let attached = K::cache(world).of_gateway(namespace, gateway);
    attached.iter().map(|object| key(&**object)).collect()
}

fn all_gateways(world: &World) -> Vec<Key> {
    world.gateways.keys()
}

fn key<K: Resource>(object: &K) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

#[cfg(test)]
mod tests;
