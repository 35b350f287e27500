//! Whether the pods serve, told by their Deployment. Pure.

use claw_crds::condition::{Finding, READY, reason};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition};

use super::trouble::Trouble;

/// The condition Ready of a gateway that has its configuration. `unready` is what a pod that runs says it waits for.
pub(super) fn of(
    deployment: &Deployment,
    trouble: Option<&Trouble>,
    unready: Option<&str>,
) -> Finding {
    let wanted = wanted(deployment);
    let ready = ready(deployment);
    if wanted == 0 {
        let message = "the gateway is scaled to zero: raise spec.replicas";
        return Finding::is_false(READY, reason::SCALED_TO_ZERO, message);
    }
    if let Some(Trouble {
        reason, message, ..
    }) = trouble
    {
        let message = format!("{ready} of {wanted} pods serve; {message}");
        return Finding::is_false(READY, reason, message);
    }
    if let Some(stuck) = condition(deployment, "Progressing")
        .filter(|progressing| progressing.reason.as_deref() == Some("ProgressDeadlineExceeded"))
    {
        let message = format!(
            "{ready} of {wanted} pods serve, and no further one got ready in time: {}; see the pods' events and logs",
            why(deployment, unready).unwrap_or_else(|| message(stuck)),
        );
        return Finding::is_false(READY, reason::PROGRESS_DEADLINE_EXCEEDED, message);
    }
    if is_true(condition(deployment, "Available")) {
        return Finding::is_true(
            READY,
            reason::READY,
            format!("{ready} of {wanted} pods serve"),
        );
    }
    let message = match why(deployment, unready) {
        Some(why) => format!("{ready} of {wanted} pods serve: {why}"),
        None => format!("{ready} of {wanted} pods serve; the others are starting"),
    };
    Finding::is_false(READY, reason::DEPLOYMENT_NOT_READY, message)
}

/// Whether every pod is of the version of now, and no other is left.
pub(super) fn is_rolled_out(deployment: &Deployment) -> bool {
    let Some(status) = &deployment.status else {
        return false;
    };
    let updated = status.updated_replicas.unwrap_or(0);
    status.observed_generation >= deployment.metadata.generation
        && updated >= wanted(deployment)
        && status.replicas.unwrap_or(0) <= updated
}

/// Pods that are to be.
pub(super) fn wanted(deployment: &Deployment) -> i32 {
    let spec = deployment.spec.as_ref();
    spec.and_then(|spec| spec.replicas).unwrap_or(1)
}

/// Pods that serve.
pub(super) fn ready(deployment: &Deployment) -> i32 {
    let status = deployment.status.as_ref();
    status.and_then(|status| status.ready_replicas).unwrap_or(0)
}

/// Why pods cannot even be created: a quota, say, or an admission policy; or what they wait for.
fn why(deployment: &Deployment, unready: Option<&str>) -> Option<String> {
    let failure = condition(deployment, "ReplicaFailure").filter(|failure| is_true(Some(failure)));
    failure.map(message).or_else(|| unready.map(str::to_owned))
}

fn condition<'a>(deployment: &'a Deployment, kind: &str) -> Option<&'a DeploymentCondition> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == kind)
}

fn is_true(condition: Option<&DeploymentCondition>) -> bool {
    condition.is_some_and(|condition| condition.status == "True")
}

fn message(condition: &DeploymentCondition) -> String {
    condition.message.clone().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn deployment(replicas: i32, conditions: &Value) -> Deployment {
        serde_json::from_value(json!({
            "spec": {"replicas": replicas, "selector": {}, "template": {}},
            "status": {"readyReplicas": 1, "conditions": conditions},
        }))
        .expect("a deployment")
    }

    #[rstest]
    #[case::serving(2, json!([{"type": "Available", "status": "True"}]), "True", reason::READY, "1 of 2 pods serve")]
    #[case::nothing_known_yet(2, json!([]), "False", reason::DEPLOYMENT_NOT_READY, "starting")]
    #[case::starting(
        2, json!([{"type": "Available", "status": "False"}]), "False", reason::DEPLOYMENT_NOT_READY, "starting"
    )]
    #[case::forbidden_pods(
        2,
        json!([{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: team"}]),
        "False", reason::DEPLOYMENT_NOT_READY, "exceeded quota: team"
    )]
    #[case::stuck_while_old_pods_serve(
        2,
        json!([
            {"type": "Available", "status": "True"},
            {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"},
        ]),
        "False", reason::PROGRESS_DEADLINE_EXCEEDED, "timed out"
    )]
    #[case::scaled_to_zero(
        0, json!([{"type": "Available", "status": "True"}]), "False", reason::SCALED_TO_ZERO, "spec.replicas"
    )]
    fn the_deployment_tells_whether_the_gateway_is_ready(
        #[case] replicas: i32,
        #[case] conditions: Value,
        #[case] status: &str,
        #[case] reason: &str,
        #[case] message: &str,
    ) {
        let finding = of(&deployment(replicas, &conditions), None, None);
        assert_eq!((finding.status, finding.reason), (status, reason));
        assert!(finding.message.contains(message), "{}", finding.message);
    }

    #[test]
    fn a_pod_that_runs_tells_what_it_waits_for() {
        let unready = Some("pod desk-1: model parrot is fetching");
        let finding = of(&deployment(2, &json!([])), None, unready);
        assert_eq!(
            finding.message,
            "1 of 2 pods serve: pod desk-1: model parrot is fetching"
        );
        let serving = json!([{"type": "Available", "status": "True"}]);
        assert_eq!(of(&deployment(2, &serving), None, unready).status, "True");
    }
}
