//! What has entries that are referred to, and what is told where one is missing.

use std::collections::BTreeMap;

use super::problem::{ObjectRef, Problem, ProblemReason};

/// How many entries a message names: there may be thousands.
const SHOWN_KEYS: usize = 20;

/// Kinds of objects with entries.
#[derive(Clone, Copy)]
pub(super) enum Holder {
    Secret,
    ConfigMap,
}

impl Holder {
    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
        }
    }

    /// Why an entry cannot be used.
    pub(super) const fn unfit(self) -> ProblemReason {
        match self {
            Self::Secret => ProblemReason::InvalidSecret,
            Self::ConfigMap => ProblemReason::InvalidConfigMap,
        }
    }

    const fn missing(self) -> ProblemReason {
        match self {
            Self::Secret => ProblemReason::SecretNotFound,
            Self::ConfigMap => ProblemReason::ConfigMapNotFound,
        }
    }

    /// One of the entries, if there are any at all. `field` of `object` holds the reference.
    pub(super) fn entry<'a>(
        self,
        entries: Option<&'a BTreeMap<String, Vec<u8>>>,
        (object, field): (&ObjectRef, &str),
        (name, key): (&str, &str),
    ) -> Result<&'a [u8], Problem> {
        let kind = self.kind();
        let problem = |part: &str, value: &str, message: String, remedy: String| {
            let field = format!("{field}.{part}");
            let problem = Problem::invalid(object, field, message, remedy);
            problem.with_value(value).with_reason(self.missing())
        };
        let entries = entries.ok_or_else(|| {
            let message = format!("no {kind} of that name in this namespace");
            let remedy = format!("create it with the key {key:?}");
            problem("name", name, message, remedy)
        })?;
        let bytes = entries.get(key).map(Vec::as_slice);
        bytes.ok_or_else(|| {
            let keys = entries
                .keys()
                .map(String::as_str)
                .take(SHOWN_KEYS)
                .collect::<Vec<_>>()
                .join(", ");
            let message = format!("{kind} {name} has no such key");
            let remedy = format!("add it, or name one of: {keys}");
            problem("key", key, message, remedy)
        })
    }
}
