//! The Secrets that a compilation may look at.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::Secret as ApiSecret, apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use kube::core::{Selector, SelectorExt};

use super::{
    holder::Holder,
    problem::{ObjectRef, Problem, ProblemReason},
};
use crate::{MANAGED_BY, secret_ref::SecretKeyRef};

/// Labels and data of one Secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret {
    /// Labels, for selectors.
    pub labels: BTreeMap<String, String>,
    /// Annotations, for what they say of API keys.
    pub annotations: BTreeMap<String, String>,
    /// Decoded data.
    pub data: BTreeMap<String, Vec<u8>>,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret")
            .field("labels", &self.labels)
            // kubectl repeats the data in one of them.
            .field("annotations", &"[redacted]")
            .field("data", &"[redacted]")
            .finish()
    }
}

impl From<&ApiSecret> for Secret {
    fn from(secret: &ApiSecret) -> Self {
        let mut data: BTreeMap<String, Vec<u8>> = secret
            .data
            .iter()
            .flatten()
            .map(|(key, value)| (key.clone(), value.0.clone()))
            .collect();
        // Files may use stringData, which the API server would have folded into data.
        data.extend(
            secret
                .string_data
                .iter()
                .flatten()
                .map(|(key, value)| (key.clone(), value.clone().into_bytes())),
        );
        Self {
            labels: secret.metadata.labels.clone().unwrap_or_default(),
            annotations: secret.metadata.annotations.clone().unwrap_or_default(),
            data,
        }
    }
}

/// Secrets of one namespace by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets {
    by_name: BTreeMap<String, Secret>,
    is_cut: bool,
}

impl Secrets {
    /// The Secret of that name.
    pub fn get(&self, name: &str) -> Option<&Secret> {
        self.by_name.get(name)
    }

    /// Note that more Secrets are selected than were read.
    pub fn cut(&mut self) {
        self.is_cut = true;
    }

    /// Whether more are selected than are here.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Add or replace a Secret.
    pub fn insert(&mut self, name: impl Into<String>, secret: Secret) {
        self.by_name.insert(name.into(), secret);
    }

    /// Secrets whose labels match, by name. An invalid selector gives its error.
    pub(super) fn select(&self, selector: &LabelSelector) -> Result<Vec<(&str, &Secret)>, String> {
        let selector = Selector::try_from(selector.clone()).map_err(|error| error.to_string())?;
        Ok(self
            .by_name
            .iter()
            // What the operator itself keeps is nobody's API key.
            .filter(|(_, secret)| selector.matches(&secret.labels) && !is_made(secret))
            .map(|(name, secret)| (name.as_str(), secret))
            .collect())
    }

    /// What `secretKeyRef` within a field leads to.
    pub(super) fn text(
        &self,
        object: &ObjectRef,
        field: &str,
        at: &SecretKeyRef,
    ) -> Result<String, Problem> {
        self.entry(object, &format!("{field}.secretKeyRef"), at)
    }

    /// The text of one entry, without surrounding white space (a trailing newline is the classic slip). `field` holds
    /// the reference itself.
    pub(super) fn entry(
        &self,
        object: &ObjectRef,
        field: &str,
        at: &SecretKeyRef,
    ) -> Result<String, Problem> {
        let SecretKeyRef { name, key } = at;
        let bytes = self.bytes(object, field, at)?;
        let text = std::str::from_utf8(bytes)
            .ok()
            .map(str::trim)
            .filter(|text| is_header_safe(text));
        text.map(str::to_owned).ok_or_else(|| {
            let message = format!(
                "the entry of Secret {name} is empty, too long, or holds characters that cannot be sent"
            );
            let remedy = format!(
                "store the plain credential, printable ASCII on one line, at most {LONGEST_CREDENTIAL} bytes"
            );
            let problem = Problem::invalid(object, format!("{field}.key"), message, remedy);
            let problem = problem.with_value(key);
            problem.with_reason(ProblemReason::InvalidSecret)
        })
    }

    fn bytes(&self, object: &ObjectRef, field: &str, at: &SecretKeyRef) -> Result<&[u8], Problem> {
        let SecretKeyRef { name, key } = at;
        let entries = self.get(name).map(|secret| &secret.data);
        Holder::Secret.entry(entries, (object, field), (name, key))
    }
}

/// Whether the operator made it.
fn is_made(secret: &Secret) -> bool {
    let (label, operator) = MANAGED_BY;
    secret.labels.get(label).map(String::as_str) == Some(operator)
}

/// Longer headers are refused by servers; the longest credentials, signed tokens, have a few kilobytes.
const LONGEST_CREDENTIAL: usize = 16 << 10;

/// Credentials travel in header values and URLs: visible ASCII only.
fn is_header_safe(text: &str) -> bool {
    (1..=LONGEST_CREDENTIAL).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}
