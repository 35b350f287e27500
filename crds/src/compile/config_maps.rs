//! The ConfigMaps that a compilation may look at.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;

/// The entries of one.
type Entries = BTreeMap<String, Vec<u8>>;

/// ConfigMaps of one namespace by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigMaps {
    by_name: BTreeMap<String, Entries>,
}

impl ConfigMaps {
    /// Add or replace a ConfigMap.
    pub fn insert(&mut self, map: &ConfigMap) {
        let texts = map.data.iter().flatten();
        let texts = texts.map(|(key, text)| (key.clone(), text.clone().into_bytes()));
        let bytes = map.binary_data.iter().flatten();
        let bytes = bytes.map(|(key, value)| (key.clone(), value.0.clone()));
        let name = map.metadata.name.clone().unwrap_or_default();
        self.by_name.insert(name, texts.chain(bytes).collect());
    }

    /// The entries of the one of that name.
    pub(super) fn get(&self, name: &str) -> Option<&Entries> {
        self.by_name.get(name)
    }
}
