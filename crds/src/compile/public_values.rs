//! Values that are no secret, from a Secret or a ConfigMap.

use super::{
    Found,
    holder::Holder,
    problem::{ObjectRef, Problem},
};
use crate::public_value::PublicValue;

/// A PEM text, and where it was found.
pub(super) struct Pem<'a> {
    pub(super) text: String,
    /// The field that names the entry.
    field: String,
    key: &'a str,
    holder: Holder,
}

impl<'a> Pem<'a> {
    /// What `value`, which `field` holds, leads to.
    pub(super) fn read(
        gateway: &ObjectRef,
        field: &str,
        value: &'a PublicValue,
        found: Found<'_>,
    ) -> Result<Self, Problem> {
        let (holder, part, entries, name, key) =
            match (&value.secret_key_ref, &value.config_map_key_ref) {
                (Some(at), None) => {
                    let entries = found.secrets.get(&at.name).map(|secret| &secret.data);
                    (Holder::Secret, "secretKeyRef", entries, &at.name, &at.key)
                }
                (None, Some(at)) => {
                    let entries = found.config_maps.get(&at.name);
                    let part = "configMapKeyRef";
                    (Holder::ConfigMap, part, entries, &at.name, &at.key)
                }
                (None, None) | (Some(_), Some(_)) => {
                    let message = "it must be clear where the value is";
                    let remedy = "set exactly one of secretKeyRef and configMapKeyRef";
                    return Err(Problem::invalid(gateway, field, message, remedy));
                }
            };
        let field = format!("{field}.{part}");
        let bytes = holder.entry(entries, (gateway, &field), (name, key))?;
        let mut pem = Self {
            text: String::new(),
            field: format!("{field}.key"),
            key,
            holder,
        };
        let Ok(text) = std::str::from_utf8(bytes) else {
            let message = format!("the entry of {} {name} is not PEM text", holder.kind());
            return Err(pem.invalid(gateway, message, "store PEM text"));
        };
        text.clone_into(&mut pem.text);
        Ok(pem)
    }

    /// That the text is of no use.
    pub(super) fn invalid(&self, gateway: &ObjectRef, message: String, remedy: &str) -> Problem {
        let problem = Problem::invalid(gateway, &self.field, message, remedy);
        problem
            .with_value(self.key)
            .with_reason(self.holder.unfit())
    }
}
