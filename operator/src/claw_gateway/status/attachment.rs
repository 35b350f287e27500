//! The statuses of the gateway's routes and channels. Pure.

use claw_crds::{
    Channel, ChannelStatus, ModelRoute, ModelRouteStatus,
    condition::{ACCEPTED, Finding, HasConditions, PROGRAMMED, READY, STALLED, merge, reason},
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Resource, core::object::HasStatus};

use super::{Programmed, pending};
use crate::{channel, claw_gateway::validate::ValidatedAttachment};

/// What became of a route.
pub(super) fn route_status(
    route: &ValidatedAttachment<ModelRoute>,
    programmed: &Programmed,
    gateway_is_ready: bool,
    now: Timestamp,
) -> ModelRouteStatus {
    let wanted = route.object.spec.routes.len();
    let noun = format!("{} of {wanted} rules", route.served);
    ModelRouteStatus {
        observed_generation: route.object.metadata.generation,
        conditions: conditions(route, programmed, gateway_is_ready, &noun, now),
        routes: served(route, programmed),
    }
}

/// What became of a channel.
pub(super) fn channel_status(
    channel: &ValidatedAttachment<Channel>,
    programmed: &Programmed,
    gateway_is_ready: bool,
    now: Timestamp,
) -> ChannelStatus {
    ChannelStatus {
        observed_generation: channel.object.metadata.generation,
        conditions: conditions(channel, programmed, gateway_is_ready, "the channel", now),
        platform: channel::platform(&channel.object).map(str::to_owned),
        path: Some(channel::path(&channel.object)),
    }
}

/// While the last good configuration is kept, nobody knows what it holds of this object but its last status.
fn served(route: &ValidatedAttachment<ModelRoute>, programmed: &Programmed) -> i32 {
    match programmed {
        Programmed::Yes => route.served,
        Programmed::Never => 0,
        Programmed::Kept | Programmed::Failed(_) => route
            .object
            .status
            .as_ref()
            .map_or(0, |status| status.routes),
    }
}

fn conditions<K>(
    attachment: &ValidatedAttachment<K>,
    programmed: &Programmed,
    gateway_is_ready: bool,
    noun: &str,
    now: Timestamp,
) -> Vec<Condition>
where
    K: Resource + HasStatus,
    K::Status: HasConditions,
{
    let verdict = &attachment.verdict;
    let ready = ready_finding(attachment, programmed, gateway_is_ready);
    // Nothing changes until somebody corrects the object: what kstatus calls failed. What it refers to may still come.
    let stalled = verdict
        .first_bad()
        .filter(|bad| bad.condition == ACCEPTED)
        .map(|bad| Finding::is_true(STALLED, bad.reason, ready.message.clone()));
    let mut findings = vec![
        verdict.accepted.clone(),
        verdict.resolved.clone(),
        programmed_finding(attachment, programmed, noun),
        ready,
    ];
    findings.extend(stalled);
    let old = attachment.object.status();
    merge(
        old.map_or(&[], HasConditions::conditions),
        &findings,
        attachment.object.meta().generation,
        now,
    )
}

fn programmed_finding<K>(
    attachment: &ValidatedAttachment<K>,
    programmed: &Programmed,
    noun: &str,
) -> Finding {
    let bad = attachment.verdict.first_bad();
    match programmed {
        Programmed::Yes if attachment.served > 0 => Finding::is_true(
            PROGRAMMED,
            reason::PROGRAMMED,
            format!("the gateway's configuration holds {noun}"),
        ),
        Programmed::Yes => pending(
            PROGRAMMED,
            format!(
                "the gateway's configuration leaves it out: see {}",
                bad.map_or(PROGRAMMED, |finding| finding.condition)
            ),
        ),
        Programmed::Kept => pending(
            PROGRAMMED,
            "the gateway keeps its last good configuration: see the ClawGateway's conditions",
        ),
        Programmed::Never => pending(
            PROGRAMMED,
            "the gateway has no valid configuration: see the ClawGateway's conditions",
        ),
        Programmed::Failed(_) => Finding::is_false(
            PROGRAMMED,
            reason::APPLY_FAILED,
            "the gateway's configuration could not be stored: see the ClawGateway's conditions",
        ),
    }
}

fn ready_finding<K>(
    attachment: &ValidatedAttachment<K>,
    programmed: &Programmed,
    gateway_is_ready: bool,
) -> Finding {
    if let Some(bad) = attachment.verdict.first_bad() {
        // Shown by kubectl get, so it names the cause.
        return Finding::is_false(READY, bad.reason, format!("see {}", bad.condition));
    }
    if *programmed != Programmed::Yes || attachment.served == 0 {
        return pending(READY, "see Programmed");
    }
    if gateway_is_ready {
        Finding::is_true(READY, reason::READY, "the gateway serves it")
    } else {
        let message = "the gateway is not ready: see the ClawGateway's conditions";
        Finding::is_false(READY, reason::GATEWAY_NOT_READY, message)
    }
}
