//! The gateway's own status. Pure.

use claw_crds::{
    ClawGatewayStatus, GATEWAY_PORT,
    condition::{Finding, PROGRAMMED, READY, merge, reason},
};
use jiff::Timestamp;

use super::{Outcome, Programmed, pending, progress, readiness, trouble};
use crate::{labels, names::GatewayName};

pub(super) fn status(outcome: &Outcome<'_>, now: Timestamp) -> ClawGatewayStatus {
    let Outcome {
        gateway,
        namespace,
        validated,
        programmed: _,
        deployment,
        pods: _,
        reports,
        is_reissued: _,
    } = outcome;
    let old = gateway.status.as_ref();
    let ready = ready_finding(outcome);
    let mut findings = vec![
        validated.verdict.accepted.clone(),
        validated.verdict.resolved.clone(),
        programmed_finding(outcome),
        ready,
    ];
    findings.extend(progress::of(outcome, &findings));
    let generation = gateway.metadata.generation;
    let name = GatewayName::parse(gateway.metadata.name.as_deref().unwrap_or_default()).ok();
    let runs = deployment.is_some();
    ClawGatewayStatus {
        observed_generation: generation,
        conditions: merge(
            old.map_or(&[], |old| &old.conditions),
            &findings,
            generation,
            now,
        ),
        replicas: deployment
            .and_then(|deployment| deployment.status.as_ref()?.replicas)
            .unwrap_or(0),
        ready_replicas: deployment.map_or(0, readiness::ready),
        replicas_summary: deployment.map(|deployment| {
            format!(
                "{}/{}",
                readiness::ready(deployment),
                readiness::wanted(deployment)
            )
        }),
        selector: name.as_ref().map(labels::pod_selector),
        endpoint: name.filter(|_| runs).map(|name| {
            let scheme = if validated.is_tls { "https" } else { "http" };
            format!("{scheme}://{}:{GATEWAY_PORT}", name.host(namespace))
        }),
        models: validated.models,
        devices: reports.devices.clone(),
        certificate_expires: certificate_expires(outcome),
    }
}

/// While the last good configuration is kept, so is what is known of its certificate.
fn certificate_expires(outcome: &Outcome<'_>) -> Option<String> {
    match outcome.programmed {
        Programmed::Kept | Programmed::Failed(_) => outcome
            .gateway
            .status
            .as_ref()
            .and_then(|old| old.certificate_expires.clone()),
        // One that was issued, but for nobody, is thrown away.
        Programmed::Never => None,
        Programmed::Yes => outcome
            .validated
            .certificate_expires
            .map(|expires| expires.to_string()),
    }
}

fn programmed_finding(outcome: &Outcome<'_>) -> Finding {
    match &outcome.programmed {
        Programmed::Yes => Finding::is_true(
            PROGRAMMED,
            reason::PROGRAMMED,
            "the configuration is stored, and every object of the gateway is up to date",
        ),
        Programmed::Kept => pending(
            PROGRAMMED,
            format!(
                "the last good configuration stays in force: see {}",
                cause(outcome).condition
            ),
        ),
        Programmed::Never => pending(
            PROGRAMMED,
            format!(
                "no configuration can be made: see {}",
                cause(outcome).condition
            ),
        ),
        Programmed::Failed(error) => {
            Finding::is_false(PROGRAMMED, reason::APPLY_FAILED, error.message.clone())
        }
    }
}

/// Shown by kubectl get, so where it is not True it names the cause.
fn ready_finding(outcome: &Outcome<'_>) -> Finding {
    match (&outcome.programmed, outcome.deployment) {
        (Programmed::Yes, Some(deployment)) => {
            let trouble = trouble::worst(outcome.pods);
            readiness::of(
                deployment,
                trouble.as_ref(),
                outcome.reports.unready.as_deref(),
            )
        }
        (Programmed::Kept, Some(_)) => Finding::is_false(
            READY,
            cause(outcome).reason,
            format!(
                "the gateway runs on its last good configuration: see {}",
                cause(outcome).condition
            ),
        ),
        (Programmed::Failed(_), _) => Finding::is_false(
            READY,
            reason::APPLY_FAILED,
            "the gateway has not been brought up to date: see Programmed",
        ),
        (Programmed::Yes | Programmed::Kept | Programmed::Never, _) => Finding::is_false(
            READY,
            cause(outcome).reason,
            format!("nothing serves: see {}", cause(outcome).condition),
        ),
    }
}

struct Cause {
    condition: &'static str,
    reason: &'static str,
}

/// What stands in the way of a configuration.
fn cause(outcome: &Outcome<'_>) -> Cause {
    let bad = outcome.validated.verdict.first_bad();
    bad.map_or(
        Cause {
            condition: PROGRAMMED,
            reason: reason::PENDING,
        },
        |finding| Cause {
            condition: finding.condition,
            reason: finding.reason,
        },
    )
}
