//! Step 4, with the client: make what is live equal to what was built, and remove what is built no more.
//!
//! What already is as wanted is not written.

use std::marker::PhantomData;

use k8s_openapi::api::{
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{PersistentVolumeClaim, Secret},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};

use super::{
    live,
    resources::{Applied, Prepared, Resources},
    validate::ValidatedGateway,
};
use crate::{
    context::Context,
    drift::{self, FIELD_MANAGER},
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
        stage: PhantomData,
    } = resources;
    let step = Step { gateway, context };

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
        stage: PhantomData,
    };
    step.prune_all(&applied).await?;
    Ok(applied)
}

struct Step<'a> {
    gateway: &'a ValidatedGateway,
    context: &'a Context,
}

impl Step<'_> {
    fn api<K: Child>(&self) -> Api<K> {
        Api::namespaced(self.context.client.clone(), &self.gateway.namespace)
    }

    fn is_ours<K: Resource>(&self, live: &K) -> bool {
        let owners = live.meta().owner_references.iter().flatten();
        owners
            .into_iter()
            .any(|owner| owner.uid == self.gateway.owner.uid)
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
        let live = live::find::<K>(self.context, &self.gateway.namespace, &name)
            .await
            .map_err(|source| Error::Read {
                kind: kind.clone(),
                name: name.clone(),
                source,
            })?;
        if let Some(live) = live {
            if !(self.is_ours(&*live) || K::is_taken_over(&*live, &self.gateway.name)) {
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
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let written = self
            .api::<K>()
            .patch(&name, &params, &Patch::Apply(&desired))
            .await;
        let written = written.map_err(|source| Error::Apply {
            kind: kind.clone(),
            name: name.clone(),
            source,
        })?;
        tracing::info!(
            gateway.name = %self.gateway.name,
            gateway.namespace = %self.gateway.namespace,
            "applied {kind} {name}"
        );
        let remembered = K::cache(&self.context.world.children).remember(written);
        Ok((*remembered).clone())
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
            .await
    }

    /// Delete what this gateway owns and that is not to be kept.
    async fn prune<K: Child>(&self, keep: &[Option<&K>]) -> Result<(), Error> {
        let kept: Vec<String> = keep.iter().flatten().map(|kept| kept.name_any()).collect();
        let cache = K::cache(&self.context.world.children);
        let namespace = &self.gateway.namespace;
        let extra = cache.list(|live| {
            live.namespace().as_ref() == Some(namespace)
                && self.is_ours(live)
                && !kept.contains(&live.name_any())
        });
        for live in extra {
            self.delete(&*live).await?;
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
                    gateway.name = %self.gateway.name,
                    gateway.namespace = %self.gateway.namespace,
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
