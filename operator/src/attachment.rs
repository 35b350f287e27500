//! Routes and channels that no gateway speaks for: those whose gateway does not exist, and those that cannot be
//! read. The statuses of all others are written by their gateway's reconcile.
//!
//! Both may write one status at the moment when a gateway comes or goes. Each write wakes the other, so the one
//! that is right has the last word.

use std::sync::Arc;

use claw_crds::condition::{ACCEPTED, Finding, PROGRAMMED, READY, RESOLVED_REFS, reason};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{ResourceExt, runtime::controller::Action};

use crate::{
    cache::Cache,
    context::Context,
    report::{self, Error, Reported},
    world::{Guarded, World},
};

/// Kinds that name a gateway.
pub trait Attachment: Reported {
    /// Where its kind is kept.
    fn cache(world: &World) -> &Cache<Guarded<Self>>;
    /// The gateway that it names.
    fn gateway(&self) -> &str;
    /// Its status while there is no gateway.
    fn detached_status(&self, conditions: Vec<Condition>) -> Self::Status;
}

/// Write the status of one object, if no gateway does.
pub async fn reconcile<K: Attachment>(
    object: Arc<Guarded<K>>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    if !context.world.wait_until_ready().await {
        return Ok(Action::await_change());
    }
    let namespace = object.namespace().unwrap_or_default();
    let cache = K::cache(&context.world);
    let object = cache.get(&namespace, &object.name_any()).unwrap_or(object);
    match &object.0 {
        Ok(object) => {
            let gateway = context.world.gateways.get(&namespace, object.gateway());
            if gateway.is_none() {
                let findings = findings(object.gateway());
                let conditions = report::conditions_of(object, &findings, Timestamp::now());
                let status = object.detached_status(conditions);
                report::write(&context, cache, object, status).await?;
            }
        }
        Err(invalid) => report::write_unreadable::<K>(&context, cache, invalid).await?,
    }
    Ok(Action::await_change())
}

fn findings(gateway: &str) -> [Finding; 4] {
    [
        Finding::unknown(
            ACCEPTED,
            reason::PENDING,
            "the spec is checked together with its gateway: see ResolvedRefs",
        ),
        Finding::is_false(
            RESOLVED_REFS,
            reason::GATEWAY_NOT_FOUND,
            format!(
                "spec.gatewayRef.name {gateway:?}: no ClawGateway of that name in this namespace; create it, or \
                 name another"
            ),
        ),
        Finding::is_false(PROGRAMMED, reason::PENDING, "see ResolvedRefs"),
        Finding::is_false(READY, reason::GATEWAY_NOT_FOUND, "see ResolvedRefs"),
    ]
}
