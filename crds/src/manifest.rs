//! Custom resources from files, held to the same rules as by an API server: the same schema, the same CEL rules,
//! unknown fields refused. So what one machine accepts, a cluster accepts.
//!
//! Reading the files is the caller's part.

mod fault;
mod routing_file;
mod schema;
mod selection;

use std::{collections::BTreeMap, fmt, sync::OnceLock};

pub use fault::Fault;
use k8s_openapi::api::core::v1::{ConfigMap, Secret as ApiSecret};
use kube::{Resource, ResourceExt};
pub use routing_file::parse_routing_file;
use schema::KindSchema;
pub use selection::{Selection, SelectionError};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    API_VERSION, Channel, ClawGateway, GROUP, ModelRoute,
    compile::{ConfigMaps, ObjectRef, Secret, Secrets},
};

/// The namespace of objects that name none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// One YAML file, possibly of several documents.
#[derive(Clone)]
pub struct ManifestFile {
    /// How the user knows the file, for messages.
    pub name: String,
    /// Its content.
    pub text: String,
}

impl fmt::Debug for ManifestFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Secrets may be inside.
        f.debug_struct("ManifestFile")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// All valid objects of a set of files.
#[derive(Clone, Debug, Default)]
pub struct Manifests {
    gateways: Vec<ClawGateway>,
    routes: Vec<ModelRoute>,
    channels: Vec<Channel>,
    secrets: BTreeMap<String, Secrets>,
    config_maps: BTreeMap<String, ConfigMaps>,
}

/// Read files: the valid objects, and what is wrong with the others.
pub fn parse(files: &[ManifestFile]) -> (Manifests, Vec<Fault>) {
    let mut manifests = Manifests::default();
    let mut faults = Vec::new();
    for file in files {
        for (index, document) in serde_yaml::Deserializer::from_str(&file.text).enumerate() {
            let place = Place {
                file: &file.name,
                document: index,
            };
            match Value::deserialize(document) {
                Ok(Value::Null) => {}
                Ok(value) => manifests.add(place, value, &mut faults),
                Err(error) => {
                    faults.push(place.fault(None, "", format!("not valid YAML: {error}")));
                    // The parser cannot find the next document after a syntax error.
                    break;
                }
            }
        }
    }
    (manifests, faults)
}

#[derive(Clone, Copy)]
struct Place<'a> {
    file: &'a str,
    document: usize,
}

impl Place<'_> {
    fn fault(self, object: Option<ObjectRef>, field: &str, message: impl Into<String>) -> Fault {
        Fault {
            file: self.file.to_owned(),
            document: self.document,
            object,
            field: field.to_owned(),
            message: message.into(),
        }
    }
}

impl Manifests {
    fn add(&mut self, place: Place<'_>, mut value: Value, faults: &mut Vec<Fault>) {
        let api_version = value["apiVersion"].as_str().unwrap_or_default().to_owned();
        let kind = value["kind"].as_str().unwrap_or_default().to_owned();
        schema::drop_nulls(&mut value);
        let outcome = match (api_version.as_str(), kind.as_str()) {
            (API_VERSION, "ClawGateway") => {
                typed(place, gateway_schema(), value).map(|object| self.gateways.push(object))
            }
            (API_VERSION, "ModelRoute") => {
                typed(place, route_schema(), value).map(|object| self.routes.push(object))
            }
            (API_VERSION, "Channel") => {
                typed(place, channel_schema(), value).map(|object| self.channels.push(object))
            }
            ("v1", "Secret") => self.add_secret(place, value),
            ("v1", "ConfigMap") => self.add_config_map(place, value),
            ("", _) | (_, "") => Err(vec![place.fault(
                None,
                "",
                "not a Kubernetes object: apiVersion or kind is missing",
            )]),
            (group, _) if group.split('/').next() == Some(GROUP) => {
                let message = format!(
                    "{kind} of {group} is unknown: this version knows ClawGateway, ModelRoute and Channel of {API_VERSION}"
                );
                Err(vec![place.fault(None, "kind", message)])
            }
            // Namespaces and the like may lie beside ours; they mean something to a cluster only.
            _ => Ok(()),
        };
        faults.extend(outcome.err().unwrap_or_default());
    }

    fn add_secret(&mut self, place: Place<'_>, value: Value) -> Result<(), Vec<Fault>> {
        let why = "not a valid Secret: data must be base64, stringData plain strings";
        let secret: ApiSecret = plain(place, value, "Secret", why)?;
        let secrets = self.secrets.entry(namespace_of(&secret)).or_default();
        secrets.insert(secret.name_any(), Secret::from(&secret));
        Ok(())
    }

    fn add_config_map(&mut self, place: Place<'_>, value: Value) -> Result<(), Vec<Fault>> {
        let why = "not a valid ConfigMap: data must be plain strings, binaryData base64";
        let map: ConfigMap = plain(place, value, "ConfigMap", why)?;
        let maps = self.config_maps.entry(namespace_of(&map)).or_default();
        maps.insert(&map);
        Ok(())
    }
}

/// An object of Kubernetes' own kinds. What is wrong with its data is told by `why`: the cause would quote a value.
fn plain<K: Resource + DeserializeOwned>(
    place: Place<'_>,
    value: Value,
    kind: &str,
    why: &str,
) -> Result<K, Vec<Fault>> {
    let object = ObjectRef {
        kind: kind.to_owned(),
        name: value["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    };
    let is_nameless = object.name.is_empty();
    let read = serde_json::from_value(value)
        .map_err(|_| vec![place.fault(Some(object.clone()), "data", why)])?;
    if is_nameless {
        return Err(vec![place.fault(
            Some(object),
            "metadata.name",
            "the name is missing",
        )]);
    }
    Ok(read)
}

fn typed<K: DeserializeOwned>(
    place: Place<'_>,
    schema: &KindSchema,
    value: Value,
) -> Result<K, Vec<Fault>> {
    let object = ObjectRef {
        kind: value["kind"].as_str().unwrap_or_default().to_owned(),
        name: value["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    };
    if object.name.is_empty() {
        return Err(vec![place.fault(
            Some(object),
            "metadata.name",
            "the name is missing",
        )]);
    }
    let faults: Vec<Fault> = schema
        .check(&value)
        .into_iter()
        .map(|(field, message)| place.fault(Some(object.clone()), &field, message))
        .collect();
    if !faults.is_empty() {
        return Err(faults);
    }
    serde_json::from_value(value)
        .map_err(|error| vec![place.fault(Some(object), "", error.to_string())])
}

fn namespace_of<K: Resource>(object: &K) -> String {
    object
        .meta()
        .namespace
        .clone()
        .unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned())
}

fn gateway_schema() -> &'static KindSchema {
    static SCHEMA: OnceLock<KindSchema> = OnceLock::new();
    SCHEMA.get_or_init(KindSchema::of::<ClawGateway>)
}

fn route_schema() -> &'static KindSchema {
    static SCHEMA: OnceLock<KindSchema> = OnceLock::new();
    SCHEMA.get_or_init(KindSchema::of::<ModelRoute>)
}

fn channel_schema() -> &'static KindSchema {
    static SCHEMA: OnceLock<KindSchema> = OnceLock::new();
    SCHEMA.get_or_init(KindSchema::of::<Channel>)
}

#[cfg(test)]
mod tests;
