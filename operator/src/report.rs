//! Writing a status where it changed, and an Event for what is notable in the change.

mod notable;

use std::fmt::Debug;

use claw_crds::condition::{ACCEPTED, Finding, HasConditions, merge, reason};
use jiff::Timestamp;
use k8s_openapi::{NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::{ApiResource, DynamicObject, error_boundary::InvalidObject, object::HasStatus},
    runtime::events::Event,
};
use notable::notable;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{cache::Cache, context::Context, drift::FIELD_MANAGER, error::Label, world::Guarded};

/// A status could not be written.
#[derive(Debug, thiserror::Error)]
#[error("failed to write the status of {kind} {name}")]
pub struct Error {
    kind: String,
    name: String,
    source: kube::Error,
}

impl Label for Error {
    fn label(&self) -> &'static str {
        "Status"
    }
}

/// Our own kinds.
pub trait Reported:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + HasStatus<Status: HasConditions + PartialEq + Serialize + Send + Sync>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
}

impl<K> Reported for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + HasStatus<Status: HasConditions + PartialEq + Serialize + Send + Sync>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static
{
}

/// Write `status`, unless the object has it already.
pub async fn write<K: Reported>(
    context: &Context,
    cache: &Cache<Guarded<K>>,
    object: &K,
    status: K::Status,
) -> Result<(), Error> {
    write_with(context, cache, object, status, Vec::new()).await
}

/// The same, and with it `further` Events beside those that conditions tell.
pub async fn write_with<K: Reported>(
    context: &Context,
    cache: &Cache<Guarded<K>>,
    object: &K,
    status: K::Status,
    further: Vec<Event>,
) -> Result<(), Error> {
    let old = object.status();
    let mut events = further;
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    if old != Some(&status) {
        let before = old.map_or(&[][..], HasConditions::conditions);
        events.splice(..0, notable(before, status.conditions()));
        let value = serde_json::to_value(&status).map_err(|error| Error {
            kind: K::kind(&()).into_owned(),
            name: name.clone(),
            source: kube::Error::SerdeError(error),
        })?;
        if !patch(context, cache, &namespace, &name, &value).await? {
            return Ok(());
        }
    }
    let reference = object.object_ref(&());
    for event in events {
        // An Event is a courtesy: the condition tells the same.
        if let Err(error) = context.announcer.publish(&event, &reference).await {
            tracing::warn!(
                error = crate::error::chain(&error),
                "failed to write an Event for {} {name}",
                K::kind(&())
            );
        }
    }
    Ok(())
}

/// Tell that an object cannot be read, which happens when it was written for a newer operator.
pub async fn write_unreadable<K: Reported>(
    context: &Context,
    cache: &Cache<Guarded<K>>,
    invalid: &InvalidObject,
) -> Result<(), Error> {
    let finding = Finding::is_false(
        ACCEPTED,
        reason::INVALID,
        format!(
            "the operator cannot read this object: {}; correct it, or upgrade the operator to the release of the \
             custom resource definitions",
            invalid.error
        ),
    );
    let metadata = &invalid.metadata;
    let namespace = metadata.namespace.clone().unwrap_or_default();
    let name = metadata.name.clone().unwrap_or_default();
    let old = stored_conditions::<K>(context, &namespace, &name).await?;
    let conditions = merge(&old, &[finding], metadata.generation, Timestamp::now());
    if conditions == old {
        return Ok(());
    }
    let status = json!({"observedGeneration": metadata.generation, "conditions": conditions});
    patch(context, cache, &namespace, &name, &status)
        .await
        .map(drop)
}

/// The conditions of an object whose type cannot be read.
async fn stored_conditions<K: Reported>(
    context: &Context,
    namespace: &str,
    name: &str,
) -> Result<Vec<Condition>, Error> {
    let kind = ApiResource::erase::<K>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), namespace, &kind);
    let object = api.get_opt(name).await.map_err(|source| Error {
        kind: K::kind(&()).into_owned(),
        name: name.to_owned(),
        source,
    })?;
    let conditions = object.and_then(|object| {
        let conditions = object.data.pointer("/status/conditions")?.clone();
        serde_json::from_value(conditions).ok()
    });
    Ok(conditions.unwrap_or_default())
}

/// Returns whether the object still was there.
async fn patch<K: Reported>(
    context: &Context,
    cache: &Cache<Guarded<K>>,
    namespace: &str,
    name: &str,
    status: &Value,
) -> Result<bool, Error> {
    let api: Api<Guarded<K>> = Api::namespaced(context.client.clone(), namespace);
    let body = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {"name": name, "namespace": namespace},
        "status": status,
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    match api.patch_status(name, &params, &Patch::Apply(&body)).await {
        Ok(written) => {
            cache.remember(written);
            Ok(true)
        }
        // Deleted meanwhile.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(source) => Err(Error {
            kind: K::kind(&()).into_owned(),
            name: name.to_owned(),
            source,
        }),
    }
}

/// The conditions of an object that has no gateway to speak for it.
pub fn conditions_of<K: Reported>(
    object: &K,
    findings: &[Finding],
    now: Timestamp,
) -> Vec<Condition> {
    let old = object.status().map_or(&[][..], HasConditions::conditions);
    merge(old, findings, object.meta().generation, now)
}
