//! Which objects belong to which gateway, so that finding them does not cost more with every other gateway.

use std::collections::{BTreeSet, HashMap};

/// Namespace and name.
type Key = (String, String);

/// An object and the gateway that it belongs to.
pub(super) struct Entry {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) gateway: Option<String>,
}

/// The objects of one kind by gateway.
#[derive(Debug, Default)]
pub(super) struct Groups {
    members: HashMap<Key, BTreeSet<String>>,
    gateways: HashMap<Key, String>,
}

impl Groups {
    /// An object belongs to `gateway`, or to none.
    pub(super) fn put(&mut self, entry: Entry) {
        let Entry {
            namespace,
            name,
            gateway,
        } = entry;
        let key = (namespace.clone(), name.clone());
        let before = match &gateway {
            Some(gateway) => self.gateways.insert(key, gateway.clone()),
            None => self.gateways.remove(&key),
        };
        if before == gateway {
            return;
        }
        if let Some(before) = before {
            self.leave(&namespace, &name, before);
        }
        if let Some(gateway) = gateway {
            let group = self.members.entry((namespace, gateway));
            group.or_default().insert(name);
        }
    }

    /// Names of what belongs to a gateway.
    pub(super) fn members(&self, namespace: &str, gateway: &str) -> Vec<String> {
        let key = (namespace.to_owned(), gateway.to_owned());
        let members = self.members.get(&key).into_iter().flatten();
        members.cloned().collect()
    }

    /// Forget what is gone.
    pub(super) fn retain(&mut self, is_there: impl Fn(&str, &str) -> bool) {
        let names = self.gateways.keys();
        let gone: Vec<Key> = names
            .filter(|(namespace, name)| !is_there(namespace, name))
            .cloned()
            .collect();
        for (namespace, name) in gone {
            self.put(Entry {
                namespace,
                name,
                gateway: None,
            });
        }
    }

    fn leave(&mut self, namespace: &str, name: &str, gateway: String) {
        let key = (namespace.to_owned(), gateway);
        if let Some(group) = self.members.get_mut(&key) {
            group.remove(name);
            if group.is_empty() {
                self.members.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_that_moves_leaves_nothing_behind() {
        let pages = |gateway: Option<&str>| Entry {
            namespace: "shop".into(),
            name: "pages".into(),
            gateway: gateway.map(str::to_owned),
        };
        let mut groups = Groups::default();
        groups.put(pages(Some("desk")));
        groups.put(pages(Some("phone")));
        assert!(groups.members("shop", "desk").is_empty());
        assert_eq!(groups.members("shop", "phone"), ["pages"]);
        groups.retain(|_, _| false);
        assert!(groups.members.is_empty() && groups.gateways.is_empty());
    }
}
