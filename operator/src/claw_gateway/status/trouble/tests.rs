use rstest::rstest;
use serde_json::{Value, json};

use super::*;

fn pod(name: &str, status: &Value) -> Arc<Pod> {
    let pod = json!({"metadata": {"name": name}, "status": status});
    Arc::new(serde_json::from_value(pod).expect("a pod"))
}

fn container(state: &Value, more: &Value) -> Value {
    let mut status = json!({
        "name": "gateway", "image": "bot:7", "imageID": "", "ready": false, "restartCount": 0, "state": state,
    });
    let more = more.as_object().expect("fields").clone();
    status.as_object_mut().expect("fields").extend(more);
    json!({ "containerStatuses": [status] })
}

fn waiting(reason: &str, message: &str) -> Value {
    container(
        &json!({"waiting": {"reason": reason, "message": message}}),
        &json!({}),
    )
}

fn crashed(state: &Value, ended: &Value) -> Value {
    container(
        state,
        &json!({"restartCount": 3, "lastState": {"terminated": ended}}),
    )
}

fn told(status: &Value) -> Option<(&'static str, String)> {
    worst(&[pod("desk-1", status)]).map(|trouble| (trouble.reason, trouble.message))
}

#[rstest]
#[case::image(
    waiting("ErrImagePull", "not found"),
    reason::IMAGE_PULL_BACK_OFF,
    "pod desk-1 cannot pull image bot:7: not found; check its name, and that the operator's \
     gateway.imagePullSecrets lie in this namespace"
)]
#[case::config(
    waiting("CreateContainerConfigError", "secret \"x\" not found"),
    reason::CREATE_CONTAINER_ERROR,
    "the container of pod desk-1 cannot be made: secret \"x\" not found"
)]
#[case::crash(
    crashed(
        &json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}),
        &json!({"exitCode": 64, "message": "one\n{\"message\": \"no models\", \"error\": \"nothing there\"}\n"}),
    ),
    reason::CRASH_LOOP_BACK_OFF,
    "the container of pod desk-1 ended with exit code 64: no models: nothing there"
)]
#[case::silent_crash(
    crashed(&json!({"running": {}}), &json!({"exitCode": 1})),
    reason::CRASH_LOOP_BACK_OFF,
    "the container of pod desk-1 ended with exit code 1: it left no message; see kubectl logs --previous"
)]
#[case::memory(
    crashed(&json!({"running": {}}), &json!({"exitCode": 137, "reason": "OOMKilled"})),
    reason::CRASH_LOOP_BACK_OFF,
    "the container of pod desk-1 was killed for taking more than its memory limit; raise spec.resources.memory or \
     spec.size"
)]
#[case::no_node(
    json!({"conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available",
    }]}),
    reason::UNSCHEDULABLE,
    "no node takes pod desk-1: 0/1 nodes are available; make room, or change size, resources or accelerator"
)]
fn a_pod_that_does_not_serve_says_why(
    #[case] status: Value,
    #[case] reason: &'static str,
    #[case] message: &str,
) {
    assert_eq!(told(&status), Some((reason, message.to_owned())));
}

#[test]
fn a_kubelet_that_tries_again_is_told_the_same_way() {
    let back_off = "Back-off pulling image \"bot:7\": ErrImagePull: not found";
    assert_eq!(
        told(&waiting("ErrImagePull", "not found")),
        told(&waiting("ImagePullBackOff", back_off))
    );
    let ended = json!({"exitCode": 64, "message": "no models"});
    let waiting = json!({"waiting": {"reason": "CrashLoopBackOff"}});
    assert_eq!(
        told(&crashed(&json!({"running": {}}), &ended)),
        told(&crashed(&waiting, &ended))
    );
}

#[rstest]
#[case::starting(waiting("ContainerCreating", ""))]
#[case::first_start(container(&json!({"running": {}}), &json!({})))]
#[case::ready_again(json!({
    "conditions": [{"type": "Ready", "status": "True"}],
    "containerStatuses": crashed(&json!({"running": {}}), &json!({"exitCode": 1}))["containerStatuses"],
}))]
fn a_pod_that_starts_or_serves_has_no_trouble(#[case] status: Value) {
    assert_eq!(told(&status), None);
}

#[test]
fn the_worst_is_told_and_of_two_alike_the_first() {
    let no_node = json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]});
    let image = waiting("ErrImagePull", "not found");
    let pods = [
        pod("desk-3", &image),
        pod("desk-1", &no_node),
        pod("desk-2", &image),
    ];
    let message = worst(&pods).expect("trouble").message;
    assert!(message.starts_with("pod desk-2"), "{message}");
}

#[test]
fn a_pod_that_is_going_has_no_say() {
    let mut going = Pod::clone(&pod("desk-1", &waiting("ErrImagePull", "not found")));
    going.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
        jiff::Timestamp::UNIX_EPOCH,
    ));
    assert_eq!(worst(&[Arc::new(going)]), None);
}
