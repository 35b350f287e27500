//! Objects in a test's namespace: reading them, and waiting for what they become.

use std::fmt::Debug;

use claw_crds::condition::HasConditions;
use k8s_openapi::{NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{
    Api, Resource,
    api::{DeleteParams, Patch, PatchParams},
    core::object::HasStatus,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::Context;

/// Kinds that live in namespaces.
pub trait Kind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Serialize
    + Send
    + Sync
    + 'static
{
}

impl<K> Kind for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Serialize
        + Send
        + Sync
        + 'static
{
}

impl Context {
    /// The API of a kind in the test's namespace.
    pub fn api<K: Kind>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// An object, if it is there.
    pub async fn find<K: Kind>(&self, name: &str) -> Option<K> {
        let found = self.api().get_opt(name).await;
        found.expect("the API server answers")
    }

    /// Delete an object; what it owns is collected in the background.
    pub async fn delete<K: Kind>(&self, name: &str) {
        let api = self.api::<K>();
        let deleted = api.delete(name, &DeleteParams::background()).await;
        deleted.expect("deleted");
    }

    /// Change an object by a merge patch.
    pub async fn edit<K: Kind>(&self, name: &str, change: &Value) {
        let api = self.api::<K>();
        let patched = api
            .patch(name, &PatchParams::default(), &Patch::Merge(change))
            .await;
        patched.expect("edited");
    }

    /// Wait until an object holds at least `part`.
    pub async fn becomes<K: Kind>(&self, name: &str, part: &Value) -> K {
        let what = format!("{} {name} holds {part:#}", K::kind(&()));
        self.eventually(&what, async || {
            let object = self.find::<K>(name).await?;
            let value = serde_json::to_value(&object).expect("an object is JSON");
            holds(&value, part).then_some(object)
        })
        .await
    }

    /// Wait until an object is gone.
    pub async fn vanishes<K: Kind>(&self, name: &str) {
        let what = format!("{} {name} is gone", K::kind(&()));
        self.eventually(&what, async || {
            let object = self.find::<K>(name).await;
            object.is_none().then_some(())
        })
        .await;
    }

    /// Wait until a condition has this status and reason, for the spec of now; gives its message.
    pub async fn reports<K>(&self, name: &str, condition: (&str, &str, &str)) -> String
    where
        K: Kind + HasStatus<Status: HasConditions>,
    {
        let (kind, status, reason) = condition;
        let what = format!("{} {name} has {kind}={status} ({reason})", K::kind(&()));
        self.eventually(&what, async || {
            let object = self.find::<K>(name).await?;
            let found = current(&object, kind)?;
            (found.status == status && found.reason == reason).then(|| found.message.clone())
        })
        .await
    }
}

/// A condition of an object, if it speaks of the spec of now.
fn current<'a, K>(object: &'a K, kind: &str) -> Option<&'a Condition>
where
    K: Kind + HasStatus<Status: HasConditions>,
{
    let generation = object.meta().generation;
    let conditions = object.status()?.conditions();
    let found = conditions
        .iter()
        .find(|condition| condition.type_ == kind)?;
    (found.observed_generation == generation).then_some(found)
}

/// Whether `whole` has everything in `part`; a `null` in `part` means absent.
pub fn holds(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (whole, Value::Null) => whole.is_null(),
        (Value::Object(whole), Value::Object(part)) => part
            .iter()
            .all(|(key, value)| holds(whole.get(key).unwrap_or(&Value::Null), value)),
        (Value::Array(whole), Value::Array(part)) => {
            whole.len() == part.len()
                && whole
                    .iter()
                    .zip(part)
                    .all(|(whole, part)| holds(whole, part))
        }
        (whole, part) => whole == part,
    }
}
