//! Step 5: what became of the gateway, its routes and its channels, told by their statuses. On failure, too.

mod attachment;
mod gateway;
mod news;
mod progress;
mod readiness;
mod trouble;

use std::sync::Arc;

use claw_crds::{
    ClawGateway, ClawGatewayStatus,
    condition::{self, Finding, HasConditions},
};
use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{core::error_boundary::InvalidObject, runtime::events::Event};

use super::{
    apply,
    dereference::Dereferenced,
    pod_reports,
    resources::{Applied, Resources},
    validate::Validated,
};
use crate::{
    context::Context,
    report::{self, Error},
};

/// Whether the configuration of now is what the gateway has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Programmed {
    /// It is.
    Yes,
    /// It cannot be made; the last good one stays.
    Kept,
    /// It cannot be made, and there was none before.
    Never,
    /// It was made, but could not be stored.
    Failed(Failure),
}

/// Why something could not be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What happened.
    pub message: String,
    /// Trying again will not help.
    pub is_final: bool,
}

impl From<&apply::Error> for Failure {
    fn from(error: &apply::Error) -> Self {
        Self {
            message: crate::error::chain(error),
            is_final: matches!(error, apply::Error::Foreign { .. })
                || !crate::error::is_transient(error),
        }
    }
}

/// Everything that statuses are made of.
pub struct Outcome<'a> {
    gateway: &'a ClawGateway,
    namespace: &'a str,
    validated: &'a Validated,
    programmed: Programmed,
    deployment: Option<&'a Deployment>,
    pods: &'a [Arc<Pod>],
    reports: pod_reports::Summary,
    /// Another certificate of our own is stored than the one that was.
    is_reissued: bool,
}

/// What came of writing.
#[derive(Clone, Copy)]
pub struct Written<'a> {
    /// Of asking cert-manager for a certificate, or of asking no more.
    pub request: Result<&'a (), &'a apply::Error>,
    /// Of the children; none where there is nothing to build.
    pub children: Option<&'a Result<Resources<Applied>, apply::Error>>,
}

impl<'a> Outcome<'a> {
    /// Collect what the steps before gave.
    pub fn new(
        read: &'a Dereferenced,
        validated: &'a Validated,
        written: Written<'a>,
        reports: pod_reports::Summary,
    ) -> Self {
        let (programmed, deployment) = match written.children {
            Some(Ok(resources)) => {
                let programmed = match written.request {
                    Ok(()) => Programmed::Yes,
                    Err(error) => Programmed::Failed(Failure::from(error)),
                };
                (programmed, Some(&resources.deployment))
            }
            Some(Err(error)) => (
                Programmed::Failed(Failure::from(error)),
                read.deployment.as_deref(),
            ),
            None => {
                let deployment = read.deployment.as_deref().filter(|_| read.has_config);
                let programmed = match written.request {
                    // It may be all that a certificate is missing for.
                    Err(error) => Programmed::Failed(Failure::from(error)),
                    Ok(()) if read.has_config => Programmed::Kept,
                    Ok(()) => Programmed::Never,
                };
                (programmed, deployment)
            }
        };
        Self {
            gateway: &read.gateway,
            namespace: &read.namespace,
            validated,
            programmed,
            deployment,
            pods: &read.pods,
            reports,
            is_reissued: is_reissued(read, validated),
        }
    }
}

fn is_reissued(read: &Dereferenced, validated: &Validated) -> bool {
    let before = read.certificates.store.leaf.as_ref();
    let gateway = validated.gateway.as_ref();
    let after = gateway.and_then(|gateway| gateway.certificates.as_ref());
    matches!((before, after), (Some(before), Some(after)) if *before != after.leaf)
}

/// Write every status that changed: of the gateway, its routes and its channels.
pub async fn write(context: &Context, outcome: &Outcome<'_>, now: Timestamp) -> Result<(), Error> {
    let status = gateway::status(outcome, now);
    let is_ready = is_ready(&status);
    context.metrics.set_certificate_expiry(
        outcome.namespace,
        outcome.gateway.metadata.name.as_deref().unwrap_or_default(),
        status
            .certificate_expires
            .as_ref()
            .and_then(|expires| expires.parse().ok()),
    );
    let world = &context.world;
    let before = outcome.gateway.status.as_ref();
    let is_reissued = outcome.is_reissued && outcome.programmed == Programmed::Yes;
    let further: Vec<Event> = news::of_certificate(before, &status, is_reissued)
        .into_iter()
        .collect();
    let own = report::write_with(context, &world.gateways, outcome.gateway, status, further);
    let routes = outcome.validated.routes.iter().map(|route| {
        let status = attachment::route_status(route, &outcome.programmed, is_ready, now);
        report::write(context, &world.routes, &route.object, status)
    });
    let channels = outcome.validated.channels.iter().map(|channel| {
        let status = attachment::channel_status(channel, &outcome.programmed, is_ready, now);
        report::write(context, &world.channels, &channel.object, status)
    });
    // One status that cannot be written must not keep back the others.
    let (own, routes, channels) = futures::join!(own, join_all(routes), join_all(channels));
    own?;
    routes.into_iter().chain(channels).collect()
}

fn is_ready(status: &ClawGatewayStatus) -> bool {
    let mut conditions = status.conditions().iter();
    conditions.any(|condition| condition.type_ == condition::READY && condition.status == "True")
}

/// Tell that a gateway's object cannot be read at all.
pub async fn write_unreadable(context: &Context, invalid: &InvalidObject) -> Result<(), Error> {
    report::write_unreadable::<ClawGateway>(context, &context.world.gateways, invalid).await
}

/// The condition is False because another one is.
fn pending(condition: &'static str, message: impl Into<String>) -> Finding {
    Finding::is_false(condition, condition::reason::PENDING, message)
}
