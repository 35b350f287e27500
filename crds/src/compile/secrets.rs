//! The Secrets that a compilation may look at.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::Secret as ApiSecret, apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use kube::core::{Selector, SelectorExt};

use super::problem::{ObjectRef, Problem, ProblemReason};
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

    /// The text of several lines that `secretKeyRef` within a field leads to.
    pub(super) fn pem(
        &self,
        object: &ObjectRef,
        field: &str,
        at: &SecretKeyRef,
    ) -> Result<String, Problem> {
        let field = format!("{field}.secretKeyRef");
        let bytes = self.bytes(object, &field, at)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| {
            let message = format!("the entry of Secret {} is not PEM text", at.name);
            let problem =
                Problem::invalid(object, format!("{field}.key"), message, "store PEM text");
            let problem = problem.with_value(&at.key);
            problem.with_reason(ProblemReason::InvalidSecret)
        })
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
        let problem = |part: &str, value: &str, message: String, remedy: String| {
            let field = format!("{field}.{part}");
            let problem = Problem::invalid(object, field, message, remedy);
            let problem = problem.with_value(value);
            problem.with_reason(ProblemReason::SecretNotFound)
        };
        let secret = self.get(name).ok_or_else(|| {
            let message = "no Secret of that name in this namespace".to_owned();
            let remedy = format!("create it with the key {key:?}");
            problem("name", name, message, remedy)
        })?;
        let bytes = secret.data.get(key).map(Vec::as_slice);
        bytes.ok_or_else(|| {
            let keys = secret
                .data
                .keys()
                .map(String::as_str)
                .take(SHOWN_KEYS)
                .collect::<Vec<_>>()
                .join(", ");
            let message = format!("Secret {name} has no such key");
            let remedy = format!("add it, or name one of: {keys}");
            problem("key", key, message, remedy)
        })
    }
}

/// Whether the operator made it.
fn is_made(secret: &Secret) -> bool {
    let (label, operator) = MANAGED_BY;
    secret.labels.get(label).map(String::as_str) == Some(operator)
}

/// How many entries of a Secret a message names: it may have thousands.
const SHOWN_KEYS: usize = 20;
/// Longer headers are refused by servers; the longest credentials, signed tokens, have a few kilobytes.
const LONGEST_CREDENTIAL: usize = 16 << 10;

/// Credentials travel in header values and URLs: visible ASCII only.
fn is_header_safe(text: &str) -> bool {
    (1..=LONGEST_CREDENTIAL).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}
