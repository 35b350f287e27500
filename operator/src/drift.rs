//! Whether a live object still is as we want it, so that what is right is never written again.
//!
//! Pure. A write is needed where a field that we set has another value, where somebody else took it over, or
//! where we still own a field that we no longer want. Fields that the API server or others fill in beside ours
//! do not count.

mod defaults;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use kube::Resource;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::quantity;

/// The name under which every field is applied.
pub const FIELD_MANAGER: &str = "claw-operator";

/// Whether applying `desired` would change `live`.
pub fn needs_write<K>(desired: &K, live: &K) -> Result<bool, serde_json::Error>
where
    K: Resource + Serialize,
{
    let Some(owned) = owned_fields(live.meta().managed_fields.iter().flatten()) else {
        return Ok(true);
    };
    let mut desired = serde_json::to_value(desired)?;
    remove_identity(&mut desired);
    Ok(!holds(
        &desired,
        &serde_json::to_value(live)?,
        owned,
        Unit::Text,
    ))
}

/// Whether we own the field at `path`, e.g. `["spec", "replicas"]`.
pub fn owns<K: Resource>(live: &K, path: &[&str]) -> bool {
    let fields = owned_fields(live.meta().managed_fields.iter().flatten());
    path.iter()
        .try_fold(fields, |node, name| {
            node.map(|node| node.get(format!("f:{name}")))
        })
        .flatten()
        .is_some()
}

/// Take out of an object that is kept what is never compared: who else manages which field.
pub fn trim(meta: &mut ObjectMeta) {
    if let Some(entries) = &mut meta.managed_fields {
        entries.retain(is_ours);
    }
}

fn is_ours(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(FIELD_MANAGER)
        && entry.operation.as_deref() == Some("Apply")
        && entry.subresource.as_deref().is_none_or(str::is_empty)
}

/// The fields that we applied, in the API server's own notation.
fn owned_fields<'a>(
    mut entries: impl Iterator<Item = &'a ManagedFieldsEntry>,
) -> Option<&'a Value> {
    let entry = entries.find(|entry| is_ours(entry))?;
    entry.fields_v1.as_ref().map(|fields| &fields.0)
}

/// What names the object is nobody's field.
fn remove_identity(object: &mut Value) {
    let Some(object) = object.as_object_mut() else {
        return;
    };
    object.remove("apiVersion");
    object.remove("kind");
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("name");
        metadata.remove("namespace");
    }
}

/// How texts at a place compare.
#[derive(Clone, Copy)]
enum Unit {
    Text,
    Quantity,
}

impl Unit {
    fn below(self, field: &str) -> Self {
        match field {
            "limits" | "requests" | "sizeLimit" => Self::Quantity,
            _ => self,
        }
    }
}

fn holds(desired: &Value, live: &Value, owned: &Value, unit: Unit) -> bool {
    match (desired, live) {
        _ if is_leaf(owned) => equal(desired, live, unit),
        (Value::Object(desired), Value::Object(live)) => holds_fields(desired, live, owned, unit),
        (Value::Array(desired), Value::Array(live)) => holds_items(desired, live, owned, unit),
        _ => false,
    }
}

/// A leaf is owned whole: a plain value, or a list or map that merges as one.
fn is_leaf(owned: &Value) -> bool {
    children(owned).next().is_none()
}

/// What an owned node has below it; `.` stands for the node itself.
fn children(owned: &Value) -> impl Iterator<Item = (&String, &Value)> {
    owned
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| *key != ".")
}

fn holds_fields(
    desired: &Map<String, Value>,
    live: &Map<String, Value>,
    owned: &Value,
    unit: Unit,
) -> bool {
    let ours = desired.iter().all(|(name, value)| {
        match (live.get(name), owned.get(format!("f:{name}"))) {
            (Some(live), Some(owned)) => holds(value, live, owned, unit.below(name)),
            _ => false,
        }
    });
    let nothing_more = children(owned).all(|(key, _)| {
        key.strip_prefix("f:")
            .is_some_and(|name| desired.contains_key(name))
    });
    ours && nothing_more
}

/// A list whose items are owned one by one, by key (`k:{"name":"gateway"}`) or by value (`v:"x"`).
fn holds_items(desired: &[Value], live: &[Value], owned: &Value, unit: Unit) -> bool {
    let keys: Vec<(Key, &Value)> = children(owned)
        .filter_map(|(key, node)| Some((Key::parse(key)?, node)))
        .collect();
    keys.len() == desired.len()
        && desired.iter().all(|item| {
            let Some((key, owned)) = keys.iter().find(|(key, _)| key.matches(item)) else {
                return false;
            };
            live.iter()
                .find(|live| key.matches(live))
                .is_some_and(|live| holds(item, live, owned, unit))
        })
}

/// What tells an item of a list from the others.
enum Key {
    Fields(Map<String, Value>),
    Value(Value),
}

impl Key {
    fn parse(text: &str) -> Option<Self> {
        let (kind, json) = text.split_once(':')?;
        match (kind, serde_json::from_str(json).ok()?) {
            ("k", Value::Object(fields)) => Some(Self::Fields(fields)),
            ("v", value) => Some(Self::Value(value)),
            _ => None,
        }
    }

    fn matches(&self, item: &Value) -> bool {
        match self {
            Self::Fields(fields) => fields
                .iter()
                .all(|(name, value)| item.get(name) == Some(value)),
            Self::Value(value) => item == value,
        }
    }
}

/// Equal, but for what the API server fills in within a whole.
fn equal(desired: &Value, live: &Value, unit: Unit) -> bool {
    match (desired, live) {
        (Value::Object(desired), Value::Object(live)) => {
            let ours = desired.iter().all(|(name, value)| {
                live.get(name)
                    .is_some_and(|live| equal(value, live, unit.below(name)))
            });
            // Whoever takes a field out of a whole means it: no other peers, no other nodes.
            let mut more = live.iter().filter(|(name, _)| !desired.contains_key(*name));
            ours && more.all(|(name, value)| defaults::is_default(name, value))
        }
        (Value::Array(desired), Value::Array(live)) => {
            desired.len() == live.len()
                && desired
                    .iter()
                    .zip(live)
                    .all(|(desired, live)| equal(desired, live, unit))
        }
        (Value::String(desired), Value::String(live)) if matches!(unit, Unit::Quantity) => {
            quantity::same(desired, live)
        }
        _ => desired == live,
    }
}

#[cfg(test)]
mod tests;
