//! How the kubelet asks the gateway, on the management port alone.

use k8s_openapi::{
    api::core::v1::{HTTPGetAction, Probe},
    apimachinery::pkg::util::intstr::IntOrString,
};

/// The name of the management port.
pub(in crate::claw_gateway::build) const PORT_NAME: &str = "management";
const PERIOD_SECONDS: i32 = 5;
/// Fetching and importing a large model takes its time.
pub(super) const LONGEST_START_SECONDS: i32 = 3600;

/// Until the models are there, the other probes wait.
pub(super) fn startup() -> Probe {
    Probe {
        failure_threshold: Some(LONGEST_START_SECONDS / PERIOD_SECONDS),
        ..probe("/startupz")
    }
}

/// Restarts a process that hangs; half a minute is no load spike.
pub(super) fn liveness() -> Probe {
    Probe {
        failure_threshold: Some(6),
        ..probe("/livez")
    }
}

/// Takes the pod out of the Service while it cannot serve.
pub(super) fn readiness() -> Probe {
    Probe {
        failure_threshold: Some(2),
        ..probe("/readyz")
    }
}

fn probe(path: &str) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(PORT_NAME.into()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(PERIOD_SECONDS),
        timeout_seconds: Some(3),
        ..Probe::default()
    }
}
