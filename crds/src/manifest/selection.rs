//! One gateway out of a set of manifests, with what belongs to it.

use super::{Manifests, namespace_of};
use crate::{
    Channel, ClawGateway, ModelRoute,
    compile::{ConfigMaps, Secrets},
};

/// A gateway and the objects of its namespace that name it.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The gateway.
    pub gateway: ClawGateway,
    /// Its routes.
    pub routes: Vec<ModelRoute>,
    /// Its channels.
    pub channels: Vec<Channel>,
    /// The Secrets of its namespace.
    pub secrets: Secrets,
    /// The ConfigMaps of its namespace.
    pub config_maps: ConfigMaps,
    /// Routes and channels that name a gateway which is not there, each as one line for a log.
    pub orphans: Vec<String>,
}

/// Why no gateway could be chosen.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// There is none.
    #[error("no ClawGateway among the manifests: add one, for example examples/gateway.yaml")]
    NoGateway,
    /// None of that name.
    #[error("no ClawGateway named {name:?} among the manifests: there is {known}")]
    UnknownGateway {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// More than one, and none was named.
    #[error("several ClawGateways among the manifests ({known}): name one with --gateway")]
    SeveralGateways {
        /// What there is.
        known: String,
    },
}

impl Manifests {
    /// The named gateway, or the only one, with all that belongs to it.
    pub fn select(&self, name: Option<&str>) -> Result<Selection, SelectionError> {
        let gateway = self.choose(name)?;
        let namespace = namespace_of(gateway);
        let gateway_name = gateway.metadata.name.as_deref().unwrap_or_default();
        let belongs = |object_namespace: String, reference: &str| {
            object_namespace == namespace && reference == gateway_name
        };
        let routes = self
            .routes
            .iter()
            .filter(|route| belongs(namespace_of(*route), &route.spec.gateway_ref.name));
        let channels = self
            .channels
            .iter()
            .filter(|channel| belongs(namespace_of(*channel), &channel.spec.gateway_ref.name));
        Ok(Selection {
            routes: routes.cloned().collect(),
            channels: channels.cloned().collect(),
            secrets: self.secrets.get(&namespace).cloned().unwrap_or_default(),
            config_maps: self
                .config_maps
                .get(&namespace)
                .cloned()
                .unwrap_or_default(),
            orphans: self.orphans(),
            gateway: gateway.clone(),
        })
    }

    fn choose(&self, name: Option<&str>) -> Result<&ClawGateway, SelectionError> {
        let name_of = |gateway: &ClawGateway| gateway.metadata.name.clone().unwrap_or_default();
        let known = || {
            self.gateways
                .iter()
                .map(name_of)
                .collect::<Vec<_>>()
                .join(", ")
        };
        match (name, self.gateways.as_slice()) {
            (_, []) => Err(SelectionError::NoGateway),
            (None, [only]) => Ok(only),
            (None, _) => Err(SelectionError::SeveralGateways { known: known() }),
            (Some(name), gateways) => gateways
                .iter()
                .find(|gateway| gateway.metadata.name.as_deref() == Some(name))
                .ok_or_else(|| SelectionError::UnknownGateway {
                    name: name.to_owned(),
                    known: known(),
                }),
        }
    }

    fn orphans(&self) -> Vec<String> {
        let is_orphan = |namespace: String, reference: &str| {
            !self.gateways.iter().any(|gateway| {
                namespace_of(gateway) == namespace
                    && gateway.metadata.name.as_deref() == Some(reference)
            })
        };
        let line = |kind: &str, name: &Option<String>, reference: &str| {
            let name = name.as_deref().unwrap_or_default();
            format!(
                "{kind}/{name} spec.gatewayRef.name {reference:?}: no ClawGateway of that name among the manifests"
            )
        };
        let routes = self.routes.iter().map(|route| {
            (
                namespace_of(route),
                "ModelRoute",
                &route.metadata.name,
                &route.spec.gateway_ref.name,
            )
        });
        let channels = self.channels.iter().map(|channel| {
            (
                namespace_of(channel),
                "Channel",
                &channel.metadata.name,
                &channel.spec.gateway_ref.name,
            )
        });
        routes
            .chain(channels)
            .filter(|(namespace, _, _, reference)| is_orphan(namespace.clone(), reference))
            .map(|(_, kind, name, reference)| line(kind, name, reference))
            .collect()
    }
}
