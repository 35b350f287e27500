//! What one configuration changes against another, as far as an auditor asks. Pure.

use std::collections::BTreeSet;

use claw_crds::GatewayConfig;
use claw_crds::gateway_config::AuthConfig;

use super::event::Event;
use super::line::Digest;

/// The parts of a configuration whose changes are recorded by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    certificate: Option<String>,
    /// Names and hashes: a key that is replaced under its name is a change, too.
    keys: BTreeSet<(String, String)>,
    anonymous: bool,
}

impl Summary {
    pub(crate) fn of(config: &GatewayConfig) -> Self {
        let (keys, anonymous) = match &config.auth {
            AuthConfig::Anonymous {} => (BTreeSet::new(), true),
            AuthConfig::ApiKeys(keys) => {
                let keys = keys
                    .iter()
                    .map(|key| (key.name.clone(), key.sha256.clone()));
                (keys.collect(), false)
            }
        };
        Self {
            certificate: config
                .tls
                .as_ref()
                .map(|tls| Digest::of(tls.certificate_chain.as_bytes()).to_string()),
            keys,
            anonymous,
        }
    }

    /// The events that lead from `before` to this. Everything is new at first.
    pub(crate) fn changes(&self, before: Option<&Self>) -> Vec<Event> {
        let nothing = BTreeSet::new();
        let known = before.map_or(&nothing, |before| &before.keys);
        let names = |keys: &BTreeSet<(String, String)>, others: &BTreeSet<(String, String)>| {
            keys.difference(others)
                .map(|(name, _)| name.clone())
                .collect::<Vec<_>>()
        };
        let mut events = Vec::new();
        if before.is_none_or(|before| before.certificate != self.certificate) {
            events.push(Event::CertificateChanged {
                sha256: self.certificate.clone(),
            });
        }
        if before
            .is_none_or(|before| (&before.keys, before.anonymous) != (&self.keys, self.anonymous))
        {
            events.push(Event::AccessChanged {
                added: names(&self.keys, known),
                removed: names(known, &self.keys),
                anonymous: self.anonymous,
            });
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use claw_crds::gateway_config::{ApiKeyConfig, GrantConfig};

    use super::*;
    use crate::config::fixture::{config, tls};

    fn with_keys(keys: &[(&str, &str)]) -> GatewayConfig {
        let keys = keys.iter().map(|(name, hash)| ApiKeyConfig {
            name: (*name).into(),
            sha256: (*hash).into(),
            grant: GrantConfig::default(),
        });
        GatewayConfig {
            auth: AuthConfig::ApiKeys(keys.collect()),
            ..config(&["tiny"])
        }
    }

    #[test]
    fn only_what_changed_is_told() {
        let before = Summary::of(&with_keys(&[("a", "1"), ("b", "2")]));
        let after = Summary::of(&with_keys(&[("b", "3"), ("c", "4")]));
        assert_eq!(before.changes(Some(&before)), []);
        assert_eq!(
            after.changes(Some(&before)),
            [Event::AccessChanged {
                added: vec!["b".into(), "c".into()],
                removed: vec!["a".into(), "b".into()],
                anonymous: false
            }]
        );
    }

    #[test]
    fn a_certificate_is_named_by_its_hash() {
        let plain = Summary::of(&config(&["tiny"]));
        let secured = GatewayConfig {
            tls: Some(tls("desk.example.com")),
            ..config(&["tiny"])
        };
        let changes = Summary::of(&secured).changes(Some(&plain));
        assert!(
            matches!(&changes[..], [Event::CertificateChanged { sha256: Some(hash) }] if hash.len() == 64),
            "{changes:?}"
        );
    }
}
