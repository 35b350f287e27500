//! Step 4, with the client: make what is live equal to what was built, and remove what is built no more.
//!
//! What already is as wanted is not written.

use std::marker::PhantomData;

use k8s_openapi::api::{
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{ConfigMap, PersistentVolumeClaim, Secret},
    networking::v1::{Ingress, NetworkPolicy},
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};

use super::{
    build::certificate,
    live,
    resources::{Applied, Prepared, Resources},
    validate::{Owner, ValidatedGateway, ValidatedIssuance},
};
use crate::{
    context::Context,
    drift::{self, FIELD_MANAGER},
    kinds::{Certificate, HttpRoute, PodMonitor, PrometheusRule},
    world::Child,
};

/// Why the children are not as they were built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Looking a child up.
    #[error("failed to read {kind} {name}")]
    Read {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// Why.
        source: kube::Error,
    },
    /// Comparing.
    #[error("failed to compare {kind} {name} with what is wanted")]
    Compare {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// Why.
        source: serde_json::Error,
    },
    /// Writing a child.
    #[error("failed to apply {kind} {name}")]
    Apply {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// Why.
        source: kube::Error,
    },
    /// Removing a child.
    #[error("failed to delete {kind} {name}")]
    Delete {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// Why.
        source: kube::Error,
    },
    /// Somebody else's object stands in the way.
    #[error(
        "{kind} {name} exists already and does not belong to this gateway; rename or delete it, or create the \
         gateway under another name"
    )]
    Foreign {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
    },
}

/// Write every child that is not as wanted, and delete what is wanted no more.
pub async fn apply(
    resources: Resources<Prepared>,
    gateway: &ValidatedGateway,
    context: &Context,
) -> Result<Resources<Applied>, Error> {
    // Without `..`: a new child that is not applied here does not compile.
    let Resources {
        service_account,
        role,
        role_binding,
        ca,
        tls,
        config,
        service,
        network_policy,
        volume_claim,
        deployment,
        autoscaler,
        disruption_budget,
        http_route,
        ingress,
        pod_monitor,
        prometheus_rule,
        dashboard,
        stage: PhantomData,
    } = resources;
    let owner = gateway.belongs_to();
    let step = Step {
        owner: &owner,
        context,
    };

    // What pods need comes before the pods: they start with their account, rights and configuration in place.
    let service_account = step.ensure(service_account).await?;
    let role = step.ensure(role).await?;
    let role_binding = step.ensure(role_binding).await?;
    // The authority before what it signed, and both before the configuration that serves it.
    let ca = step.ensure_optional(ca).await?;
    let tls = step.ensure_optional(tls).await?;
    let config = step.ensure(config).await?;
    let service = step.ensure(service).await?;
    // Pods never run without their policy, and wait for their volume.
    let network_policy = step.ensure_optional(network_policy).await?;
    let volume_claim = step.ensure_optional(volume_claim).await?;
    let deployment = step.ensure(deployment).await?;
    // The autoscaler acts on a Deployment that exists.
    let autoscaler = step.ensure_optional(autoscaler).await?;
    let disruption_budget = step.ensure_optional(disruption_budget).await?;
    // Ways in, and what watches them, after what they lead to.
    let http_route = step.ensure_optional(http_route).await?;
    let ingress = step.ensure_optional(ingress).await?;
    let pod_monitor = step.ensure_optional(pod_monitor).await?;
    let prometheus_rule = step.ensure_optional(prometheus_rule).await?;
    let dashboard = step.ensure_optional(dashboard).await?;
    let applied = Resources {
        service_account,
        role,
        role_binding,
        ca,
        tls,
        config,
        service,
        network_policy,
        volume_claim,
        deployment,
        autoscaler,
        disruption_budget,
        http_route,
        ingress,
        pod_monitor,
        prometheus_rule,
        dashboard,
        stage: PhantomData,
    };
    step.prune_all(&applied).await?;
    Ok(applied)
}

/// Ask cert-manager for a certificate, or withdraw what was asked for. Before everything else: without a certificate
/// there may be nothing else to apply.
pub async fn request_certificate(
    owner: &Owner,
    issuance: Option<&ValidatedIssuance>,
    context: &Context,
) -> Result<(), Error> {
    let step = Step { owner, context };
    let certificate = step
        .ensure_optional(issuance.map(certificate::build))
        .await?;
    step.prune::<Certificate>(&[certificate.as_ref()]).await
}

struct Step<'a> {
    owner: &'a Owner,
    context: &'a Context,
}

impl Step<'_> {
    fn api<K: Child>(&self) -> Api<K> {
        Api::namespaced(self.context.client.clone(), &self.owner.namespace)
    }

    fn is_ours<K: Resource>(&self, live: &K) -> bool {
        let owners = live.meta().owner_references.iter().flatten();
        owners
            .into_iter()
            .any(|owner| owner.uid == self.owner.reference.uid)
    }

    async fn ensure_optional<K: Child>(&self, desired: Option<K>) -> Result<Option<K>, Error> {
        match desired {
            Some(desired) => self.ensure(desired).await.map(Some),
            None => Ok(None),
        }
    }

    /// The live object, written if it was not as wanted.
    async fn ensure<K: Child>(&self, desired: K) -> Result<K, Error> {
        let (kind, name) = (K::kind(&()).into_owned(), desired.name_any());
        let live = live::find::<K>(self.context, &self.owner.namespace, &name).await;
        let live = live.map_err(|source| Error::Read {
            kind: kind.clone(),
            name: name.clone(),
            source,
        })?;
        if let Some(live) = live {
            if !(self.is_ours(&*live) || K::is_taken_over(&*live, &self.owner.name)) {
                return Err(Error::Foreign { kind, name });
            }
            let differs = drift::needs_write(&desired, &*live);
            if !differs.map_err(|source| Error::Compare {
                kind: kind.clone(),
                name: name.clone(),
                source,
            })? {
                return Ok((*live).clone());
            }
        }
        let written = self.write(&name, &desired).await;
        let written = written.map_err(|source| Error::Apply { kind, name, source })?;
        Ok(self.remember(written))
    }

    async fn write<K: Child>(&self, name: &str, object: &K) -> kube::Result<K> {
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let patch = Patch::Apply(object);
        let written = self.api::<K>().patch(name, &params, &patch).await?;
        tracing::info!(
            gateway.name = %self.owner.name,
            gateway.namespace = %self.owner.namespace,
            "applied {} {name}", K::kind(&())
        );
        Ok(written)
    }

    fn remember<K: Child>(&self, written: K) -> K {
        let remembered = K::cache(&self.context.world.children).remember(written);
        (*remembered).clone()
    }

    /// Delete what was wanted once. Only these kinds are ever wanted no more.
    async fn prune_all(&self, applied: &Resources<Applied>) -> Result<(), Error> {
        let secrets = [
            Some(&applied.config),
            applied.ca.as_ref(),
            applied.tls.as_ref(),
        ];
        self.prune::<Secret>(&secrets).await?;
        self.prune::<NetworkPolicy>(&[applied.network_policy.as_ref()])
            .await?;
        // One that is to be kept has no owner, so it is not ours to delete.
        self.prune::<PersistentVolumeClaim>(&[applied.volume_claim.as_ref()])
            .await?;
        self.prune::<HorizontalPodAutoscaler>(&[applied.autoscaler.as_ref()])
            .await?;
        self.prune::<PodDisruptionBudget>(&[applied.disruption_budget.as_ref()])
            .await?;
        self.prune::<HttpRoute>(&[applied.http_route.as_ref()])
            .await?;
        self.prune::<Ingress>(&[applied.ingress.as_ref()]).await?;
        self.prune::<PodMonitor>(&[applied.pod_monitor.as_ref()])
            .await?;
        self.prune::<PrometheusRule>(&[applied.prometheus_rule.as_ref()])
            .await?;
        self.prune::<ConfigMap>(&[applied.dashboard.as_ref()]).await
    }

    /// Delete what this gateway owns and that is not to be kept.
    async fn prune<K: Child>(&self, keep: &[Option<&K>]) -> Result<(), Error> {
        let kept: Vec<String> = keep.iter().flatten().map(|kept| kept.name_any()).collect();
        let cache = K::cache(&self.context.world.children);
        let namespace = &self.owner.namespace;
        let others = cache.of_gateway_but(namespace, self.owner.name.as_str(), &kept);
        for live in others.iter().filter(|live| self.is_ours(&***live)) {
            self.delete(&**live).await?;
            cache.forget(namespace, &live.name_any());
        }
        Ok(())
    }

    async fn delete<K: Child>(&self, live: &K) -> Result<(), Error> {
        if live.meta().deletion_timestamp.is_some() {
            return Ok(());
        }
        let name = live.name_any();
        // Not whatever somebody has put in its place meanwhile.
        let params = DeleteParams::default().preconditions(Preconditions {
            uid: live.uid(),
            resource_version: None,
        });
        match self.api::<K>().delete(&name, &params).await {
            Ok(_) => {
                tracing::info!(
                    gateway.name = %self.owner.name,
                    gateway.namespace = %self.owner.namespace,
                    "deleted {} {name}", K::kind(&())
                );
                Ok(())
            }
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            Err(source) => Err(Error::Delete {
                kind: K::kind(&()).into_owned(),
                name,
                source,
            }),
        }
    }
}
