//! Which gateways have to be looked at when a Secret or ConfigMap changes. Pure; no polling, nobody's content.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use claw_crds::{
    Channel, ClawGateway,
    claw_gateway::{Audit, ClientCertificates, Credentials, issued_secret},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt};

use crate::labels;

/// What one gateway and its channels read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// Secrets by name.
    pub names: BTreeSet<String>,
    /// ConfigMaps by name.
    pub config_maps: BTreeSet<String>,
    /// Secrets by labels.
    pub selector: Option<LabelSelector>,
}

impl Usage {
    /// Everything that the specs refer to.
    pub fn of<'a>(gateway: &ClawGateway, channels: impl IntoIterator<Item = &'a Channel>) -> Self {
        let models = gateway.spec.models.iter();
        let credentials = models
            .filter_map(|model| model.remote.as_ref()?.credentials.as_ref())
            .flat_map(Credentials::references)
            .map(|(_, reference)| &reference.name);
        let sources = gateway
            .spec
            .models
            .iter()
            .filter_map(|model| model.local.as_ref())
            .flat_map(|local| local.source.secret_names());
        let certificate = gateway
            .spec
            .tls
            .secret_ref
            .iter()
            .map(|secret| &secret.name);
        let issued = gateway
            .spec
            .tls
            .issuer_ref
            .as_ref()
            .map(|_| issued_secret(gateway.metadata.name.as_deref().unwrap_or_default()));
        let telegram = channels
            .into_iter()
            .filter_map(|channel| channel.spec.telegram.as_ref())
            .flat_map(|telegram| [&telegram.bot_token, &telegram.webhook_secret])
            .map(|value| &value.secret_key_ref.name);
        let keys = gateway
            .spec
            .state
            .iter()
            .filter_map(|state| state.encryption.as_ref())
            .flat_map(|encryption| &encryption.keys);
        let database = gateway
            .spec
            .state
            .iter()
            .filter_map(|state| state.postgres.as_ref())
            .chain(keys)
            .map(|value| &value.secret_key_ref.name);
        let audit = gateway.spec.audit.iter().flat_map(Audit::secret_names);
        let auth = &gateway.spec.auth;
        let secret = auth.introspection.iter();
        let identities =
            secret.map(|introspection| &introspection.client_secret.secret_key_ref.name);
        let public = || {
            let certificates = auth.client_certificates.iter();
            certificates.flat_map(ClientCertificates::sources)
        };
        let public_secrets = public()
            .filter_map(|value| value.secret_key_ref.as_ref())
            .map(|at| &at.name);
        let config_maps = public()
            .filter_map(|value| value.config_map_key_ref.as_ref())
            .map(|at| at.name.clone());
        let names = credentials
            .chain(certificate)
            .chain(telegram)
            .chain(database)
            .chain(identities)
            .chain(public_secrets);
        Self {
            names: names
                .cloned()
                .chain(issued)
                .chain(audit.chain(sources).map(str::to_owned))
                .collect(),
            config_maps: config_maps.collect(),
            selector: gateway
                .spec
                .auth
                .api_keys
                .as_ref()
                .map(|keys| keys.selector.clone()),
        }
    }

    fn reads(&self, name: &str, labels: &Labels) -> bool {
        let selects = || {
            let selector = self.selector.clone()?;
            // What we keep is nobody's API key: our own write would wake us for ever.
            if labels::are_ours(labels) {
                return None;
            }
            let selector = Selector::try_from(selector).ok()?;
            Some(!selector.selects_all() && selector.matches(labels))
        };
        self.names.contains(name) || selects().unwrap_or(false)
    }
}

type Labels = BTreeMap<String, String>;
/// Namespace and name.
pub type Key = (String, String);

/// What every gateway reads, and the labels of every Secret.
#[derive(Debug, Default)]
pub struct SecretIndex {
    usages: HashMap<Key, Usage>,
    labels: HashMap<Key, Labels>,
}

impl SecretIndex {
    /// Note what a gateway reads; to be called before reading, so that no change falls between.
    pub fn record(&mut self, namespace: &str, gateway: &str, usage: Usage) {
        self.usages.insert(key(namespace, gateway), usage);
    }

    /// A gateway is gone.
    pub fn forget(&mut self, namespace: &str, gateway: &str) {
        self.usages.remove(&key(namespace, gateway));
    }

    /// Namespace and name of the gateways whose reading is noted.
    pub fn gateways(&self) -> impl Iterator<Item = &Key> {
        self.usages.keys()
    }

    /// A ConfigMap came, changed or went: the gateways of its namespace that read it.
    pub fn config_map_touched(&self, namespace: &str, name: &str) -> Vec<String> {
        let here = self.usages.iter();
        let readers = here
            .filter(|((place, _), usage)| place == namespace && usage.config_maps.contains(name));
        let mut gateways: Vec<String> = readers.map(|((_, gateway), _)| gateway.clone()).collect();
        gateways.sort();
        gateways
    }

    /// A Secret came, changed or went: the gateways of its namespace that read it, by its labels of now or of
    /// before (a key is revoked by taking the label off, too).
    pub fn touched(&mut self, namespace: &str, secret: &str, labels: &Labels) -> Vec<String> {
        let place = key(namespace, secret);
        let before = if labels::are_ours(labels) {
            self.labels.remove(&place)
        } else {
            self.labels.insert(place, labels.clone())
        };
        let before = before.unwrap_or_default();
        let mut gateways: Vec<String> = self
            .usages
            .iter()
            .filter(|((place, _), _)| place == namespace)
            .filter(|(_, usage)| usage.reads(secret, labels) || usage.reads(secret, &before))
            .map(|((_, gateway), _)| gateway.clone())
            .collect();
        gateways.sort();
        gateways
    }

    /// A Secret is gone.
    pub fn deleted(&mut self, namespace: &str, secret: &str, labels: &Labels) -> Vec<String> {
        let gateways = self.touched(namespace, secret, labels);
        self.labels.remove(&key(namespace, secret));
        gateways
    }
}

fn key(namespace: &str, name: &str) -> Key {
    (namespace.to_owned(), name.to_owned())
}

#[cfg(test)]
mod tests;
