//! Why a pod does not serve, told by the pod itself: what the scheduler, the kubelet or the container said last. Pure.

mod container;

use std::sync::Arc;

use claw_crds::condition::reason;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::ResourceExt;

use crate::claw_gateway::pod_life;

/// What keeps a pod from serving.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// One of the condition reasons.
    pub(super) reason: &'static str,
    /// Which pod, what happened, and what to do.
    pub(super) message: String,
    /// Waiting alone will not mend it.
    pub(super) is_final: bool,
}

/// The worst trouble of a gateway's pods. Of several alike, that of the first pod by name, so that it is told the
/// same way each time.
pub(super) fn worst(pods: &[Arc<Pod>]) -> Option<Trouble> {
    let mut pods: Vec<&Arc<Pod>> = pods
        .iter()
        .filter(|pod| pod_life::is_going_on(pod))
        .collect();
    pods.sort_by_key(|pod| pod.name_any());
    let troubles = pods.into_iter().filter_map(|pod| of(pod));
    // The first of the greatest: `max_by_key` gives the last.
    troubles.reduce(|first, next| {
        if next.is_final && !first.is_final {
            next
        } else {
            first
        }
    })
}

fn of(pod: &Pod) -> Option<Trouble> {
    let status = pod.status.as_ref()?;
    if condition(status, "Ready").is_some_and(|(status, ..)| status == "True") {
        return None;
    }
    let name = pod.name_any();
    unschedulable(&name, status).or_else(|| {
        let containers = status.init_container_statuses.iter().flatten();
        containers
            .chain(status.container_statuses.iter().flatten())
            .find_map(|container| container::trouble(&name, container))
    })
}

fn unschedulable(name: &str, status: &PodStatus) -> Option<Trouble> {
    let (status, given, message) = condition(status, "PodScheduled")?;
    (status == "False" && given == Some("Unschedulable")).then(|| Trouble {
        reason: reason::UNSCHEDULABLE,
        message: format!(
            "no node takes pod {name}: {}; make room, or change size, resources or accelerator",
            message.unwrap_or("the scheduler gives no reason")
        ),
        // A node may come.
        is_final: false,
    })
}

/// Status, reason and message.
fn condition<'a>(
    status: &'a PodStatus,
    kind: &str,
) -> Option<(&'a str, Option<&'a str>, Option<&'a str>)> {
    let conditions = status.conditions.as_ref()?;
    let found = conditions
        .iter()
        .find(|condition| condition.type_ == kind)?;
    Some((
        &found.status,
        found.reason.as_deref(),
        found.message.as_deref(),
    ))
}

#[cfg(test)]
mod tests;
