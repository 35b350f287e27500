//! The objects of the scenario.

use claw_crds::{Channel, ClawGateway, ModelRoute};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::{NamespaceResourceScope, api::core::v1::Namespace};
use kube::{
    Api, Client, Resource,
    api::{ObjectMeta, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

/// Gateways in one namespace.
const PER_NAMESPACE: usize = 100;
/// Requests under way at a time.
const CONCURRENCY: usize = 16;

/// Name of a gateway, and of its route and its channel.
pub(crate) fn name(index: usize) -> String {
    format!("desk-{index}")
}

/// Its namespace.
pub(crate) fn namespace(index: usize) -> String {
    format!("scale-{}", index / PER_NAMESPACE)
}

/// Create so many gateways, each with a route and a channel.
pub(crate) async fn create(client: &Client, gateways: usize) -> Result<(), kube::Error> {
    let namespaces = Api::<Namespace>::all(client.clone());
    for index in (0..gateways).step_by(PER_NAMESPACE) {
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(namespace(index)),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        namespaces
            .create(&PostParams::default(), &namespace)
            .await?;
    }
    stream::iter(0..gateways)
        .map(|index| one(client, index))
        .buffer_unordered(CONCURRENCY)
        .try_collect()
        .await
}

async fn one(client: &Client, index: usize) -> Result<(), kube::Error> {
    let name = name(index);
    let models = json!([{"name": "big", "remote": {"provider": "OpenAI", "baseURL": "https://provider.invalid/v1"}}]);
    let gateway = json!({"models": models, "auth": {"anonymous": {}}});
    apply::<ClawGateway>(client, index, gateway).await?;
    let route =
        json!({"gatewayRef": {"name": name}, "routes": [{"pattern": "^/ask", "model": "big"}]});
    apply::<ModelRoute>(client, index, route).await?;
    let channel = json!({"gatewayRef": {"name": name}, "model": "big", "webSocket": {}, "access": {"direct": "Open"}});
    apply::<Channel>(client, index, channel).await
}

async fn apply<K>(client: &Client, index: usize, spec: serde_json::Value) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Serialize
        + DeserializeOwned
        + Clone
        + std::fmt::Debug,
{
    let object = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {"name": name(index)},
        "spec": spec,
    });
    let object = serde_json::from_value(object).map_err(kube::Error::SerdeError)?;
    let api = Api::<K>::namespaced(client.clone(), &namespace(index));
    api.create(&PostParams::default(), &object).await?;
    Ok(())
}
