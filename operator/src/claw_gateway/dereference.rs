//! Step 1, with the client: everything that the gateway refers to.
//!
//! Routes, channels and children come from the watches; Secrets of users are read when needed and never kept.

use std::sync::Arc;

use claw_crds::{
    Channel, ClawGateway, MANAGED_BY, ModelRoute,
    compile::{ConfigMaps, Secret as CompileSecret, Secrets},
};
use futures::future::{try_join, try_join_all};
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret},
    },
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use kube::{
    Api, ResourceExt,
    api::ListParams,
    core::{Expression, Selector},
};

use super::{certificates, live};
use crate::{
    context::Context, kinds::KindSet, names::GatewayName, secret_index::Usage, world::Guarded,
};

/// Secrets that are listed at a time, of up to 1 MiB each.
const SECRETS_A_PAGE: u32 = 32;
/// Bytes of Secrets with API keys that are read for one gateway: some ten thousand keys, where a configuration holds
/// some thousand.
const MOST_BYTES: usize = 4 << 20;

/// Why something could not be read. A Secret that does not exist is no error here.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading one Secret.
    #[error("failed to read Secret {namespace}/{name}")]
    Get {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Why.
        source: kube::Error,
    },
    /// Reading one ConfigMap.
    #[error("failed to read ConfigMap {namespace}/{name}")]
    GetConfigMap {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Why.
        source: kube::Error,
    },
    /// Reading the claim for models.
    #[error("failed to read PersistentVolumeClaim {namespace}/{name}")]
    GetClaim {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Why.
        source: kube::Error,
    },
    /// Reading the Deployment.
    #[error("failed to read Deployment {namespace}/{name}")]
    GetDeployment {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Why.
        source: kube::Error,
    },
    /// Reading the Secrets with API keys.
    #[error("failed to list the Secrets of {namespace} that hold API keys")]
    List {
        /// Their namespace.
        namespace: String,
        /// Why.
        source: kube::Error,
    },
}

/// The gateway and everything that it refers to.
pub struct Dereferenced {
    /// The gateway.
    pub gateway: ClawGateway,
    /// Its namespace.
    pub namespace: String,
    /// Routes that name it.
    pub routes: Vec<ModelRoute>,
    /// Channels that name it.
    pub channels: Vec<Channel>,
    /// The Secrets of users.
    pub secrets: Secrets,
    /// The ConfigMaps of users.
    pub config_maps: ConfigMaps,
    /// Authority and certificate, as issued last.
    pub certificates: certificates::Stored,
    /// The Deployment that runs.
    pub deployment: Option<Arc<Deployment>>,
    /// The claim for models, where one is wanted.
    pub claim: Option<Arc<PersistentVolumeClaim>>,
    /// The pods, whatever version they run.
    pub pods: Vec<Arc<Pod>>,
    /// Which kinds the cluster has.
    pub kinds: KindSet,
    /// Whether a configuration has been stored before.
    pub has_config: bool,
}

/// Read everything that `gateway` refers to.
pub async fn dereference(gateway: ClawGateway, context: &Context) -> Result<Dereferenced, Error> {
    let namespace = gateway.namespace().unwrap_or_default();
    let name = gateway.name_any();
    let routes = attached(&context.world.routes.of_gateway(&namespace, &name));
    let channels = attached(&context.world.channels.of_gateway(&namespace, &name));
    let usage = Usage::of(&gateway, &channels);
    context
        .secret_index()
        .record(&namespace, &name, usage.clone());
    let (secrets, config_maps) = try_join(
        read_secrets(&namespace, &usage, context),
        read_config_maps(&namespace, &usage, context),
    )
    .await?;
    let children = read_children(&namespace, &gateway, context).await?;
    let pods = context.world.pods.of_gateway(&namespace, &name);
    Ok(Dereferenced {
        gateway,
        namespace,
        routes,
        channels,
        secrets,
        config_maps,
        certificates: children.certificates,
        deployment: children.deployment,
        claim: children.claim,
        pods,
        kinds: context.world.kinds.now(),
        has_config: children.has_config,
    })
}

fn attached<K: Clone>(objects: &[Arc<Guarded<K>>]) -> Vec<K> {
    objects
        .iter()
        .filter_map(|object| object.0.as_ref().ok().cloned())
        .collect()
}

async fn read_secrets(namespace: &str, usage: &Usage, context: &Context) -> Result<Secrets, Error> {
    let api: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    let named = try_join_all(usage.names.iter().map(|name| {
        let api = &api;
        async move {
            api.get_opt(name).await.map_err(|source| Error::Get {
                namespace: namespace.to_owned(),
                name: name.clone(),
                source,
            })
        }
    }));
    // At once: a route change waits for this.
    let (named, selected) =
        try_join(named, select(namespace, &api, usage.selector.as_ref())).await?;
    let mut secrets = Secrets::default();
    if selected.is_cut {
        secrets.cut();
    }
    for secret in named.into_iter().flatten().chain(selected.secrets) {
        secrets.insert(secret.name_any(), CompileSecret::from(&secret));
    }
    Ok(secrets)
}

async fn read_config_maps(
    namespace: &str,
    usage: &Usage,
    context: &Context,
) -> Result<ConfigMaps, Error> {
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), namespace);
    let lists = try_join_all(usage.config_maps.iter().map(|name| {
        let api = &api;
        async move {
            let only = live::named(name);
            let list = api.list(&only).await;
            list.map_err(|source| Error::GetConfigMap {
                namespace: namespace.to_owned(),
                name: name.clone(),
                source,
            })
        }
    }));
    let mut config_maps = ConfigMaps::default();
    for map in lists.await?.into_iter().flatten() {
        config_maps.insert(&map);
    }
    Ok(config_maps)
}

/// Secrets that a selector takes.
#[derive(Default)]
struct Selected {
    secrets: Vec<Secret>,
    /// There are more.
    is_cut: bool,
}

async fn select(
    namespace: &str,
    api: &Api<Secret>,
    selector: Option<&LabelSelector>,
) -> Result<Selected, Error> {
    // An invalid or empty selector is named by the compiler; here it selects nothing.
    let Some(mut selector) = selector
        .and_then(|selector| Selector::try_from(selector.clone()).ok())
        .filter(|selector| !selector.selects_all())
    else {
        return Ok(Selected::default());
    };
    // What we keep ourselves is nobody's API key.
    let (label, operator) = MANAGED_BY;
    selector.extend([Expression::NotEqual(label.into(), operator.into())]);
    let mut selected = Selected::default();
    let mut page = ListParams::default()
        .labels_from(&selector)
        .limit(SECRETS_A_PAGE);
    let mut bytes = 0;
    loop {
        let list = api.list(&page).await.map_err(|source| Error::List {
            namespace: namespace.to_owned(),
            source,
        })?;
        let next = list.metadata.continue_.filter(|token| !token.is_empty());
        bytes += list.items.iter().map(size).sum::<usize>();
        selected.secrets.extend(list.items);
        let Some(next) = next else {
            return Ok(selected);
        };
        if bytes > MOST_BYTES {
            selected.is_cut = true;
            return Ok(selected);
        }
        page = page.continue_token(&next);
    }
}

/// The bytes that a Secret holds.
fn size(secret: &Secret) -> usize {
    let entries = secret.data.iter().flatten();
    entries.map(|(key, value)| key.len() + value.0.len()).sum()
}

#[derive(Default)]
struct OwnChildren {
    certificates: certificates::Stored,
    deployment: Option<Arc<Deployment>>,
    claim: Option<Arc<PersistentVolumeClaim>>,
    has_config: bool,
}

async fn read_children(
    namespace: &str,
    gateway: &ClawGateway,
    context: &Context,
) -> Result<OwnChildren, Error> {
    let Ok(name) = GatewayName::parse(&gateway.name_any()) else {
        // Nothing can belong to it.
        return Ok(OwnChildren::default());
    };
    let secret = async |name: String| {
        live::find::<Secret>(context, namespace, &name)
            .await
            .map_err(|source| Error::Get {
                namespace: namespace.to_owned(),
                name,
                source,
            })
    };
    let certificates = if gateway.spec.tls.self_signed.is_some() {
        let ca = secret(name.ca_secret()).await?;
        let tls = secret(name.tls_secret()).await?;
        certificates::stored(ca.as_deref(), tls.as_deref())
    } else {
        certificates::Stored::default()
    };
    let claim = name.volume_claim();
    let wants_claim = gateway.spec.storage.as_ref();
    let claim = match wants_claim.and_then(|storage| storage.persistent_volume_claim.as_ref()) {
        // One that a gateway of that name has left is not in the cache unless it carries our label.
        Some(_) => live::find(context, namespace, &claim)
            .await
            .map_err(|source| Error::GetClaim {
                namespace: namespace.to_owned(),
                name: claim,
                source,
            })?,
        None => None,
    };
    let children = &context.world.children;
    let deployment = name.deployment();
    let deployment = match &gateway.spec.autoscaling {
        // One that lost our label is in no cache, but its autoscaler's number of pods must not be forgotten.
        Some(_) => live::find(context, namespace, &deployment)
            .await
            .map_err(|source| Error::GetDeployment {
                namespace: namespace.to_owned(),
                name: deployment,
                source,
            })?,
        None => children.deployments.get(namespace, &deployment),
    };
    Ok(OwnChildren {
        certificates,
        claim,
        deployment,
        has_config: children
            .secrets
            .get(namespace, &name.config_secret())
            .is_some(),
    })
}
