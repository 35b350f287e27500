//! GPUs that exist on paper: nodes of kwok carry them, and the real scheduler decides where gateways go.

use std::{collections::BTreeMap, ffi::OsStr};

use claw_crds::ClawGateway;
use claw_e2e::{
    cases,
    node::NODE_NAME,
    process::{ChildProcess, Program},
    testing::{Case, Context},
    tools::Tool,
};
use k8s_openapi::{
    api::core::v1::{Node, Pod, PodSpec},
    apimachinery::pkg::api::resource::Quantity,
};
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use serde_json::json;

use crate::{gateway::wait_until_ready, platform, processes::pods};

pub(crate) fn cases() -> Vec<Case> {
    let cases = cases![
        gateways_land_on_the_nodes_that_have_what_they_ask_for,
        the_processor_takes_over_where_there_is_no_gpu_and_status_says_why,
    ];
    cases.into_iter().map(Case::alone).collect()
}

const WHOLE: &str = "nvidia.com/gpu";
const SLICE: &str = "nvidia.com/mig-1g.10gb";
/// What the nodes of these tests are marked with, for kwok and for the end.
const MARK: &str = "test/on-paper";

const STAGES: &str = include_str!("kwok.yaml");

/// Two nodes as a GPU operator leaves them, and the runtime that it installs.
const NODES: &str = "
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: nvidia}
handler: nvidia
---
apiVersion: v1
kind: Node
metadata:
  name: whole-gpus
  labels: {test/on-paper: 'true', kubernetes.io/hostname: whole-gpus, nvidia.com/gpu.present: 'true'}
  annotations: {test/on-paper: 'true'}
spec:
  taints: [{key: nvidia.com/gpu, value: present, effect: NoSchedule}]
status:
  capacity: {cpu: 64, memory: 256Gi, pods: 110, nvidia.com/gpu: 2}
  allocatable: {cpu: 64, memory: 256Gi, pods: 110, nvidia.com/gpu: 2}
---
apiVersion: v1
kind: Node
metadata:
  name: sliced-gpus
  labels: {test/on-paper: 'true', kubernetes.io/hostname: sliced-gpus, nvidia.com/gpu.present: 'true', nvidia.com/mig.config: all-1g.10gb}
  annotations: {test/on-paper: 'true'}
spec:
  taints: [{key: dedicated, value: inference, effect: NoSchedule}]
status:
  capacity: {cpu: 64, memory: 256Gi, pods: 110, nvidia.com/mig-1g.10gb: 7}
  allocatable: {cpu: 64, memory: 256Gi, pods: 110, nvidia.com/mig-1g.10gb: 7}
";

/// The nodes' only sign of life.
struct Kwok(ChildProcess);

impl Kwok {
    async fn start(context: &Context) -> Self {
        let program = Tool::Kwok.find_or_build(&mut |_| ()).expect("kwok");
        let kubeconfig = context.cluster.kubeconfig();
        let stages = context.directory().join("kwok.yaml");
        std::fs::write(&stages, STAGES).expect("writable");
        let kwok = Program::new("kwok", program)
            .args(["--manage-nodes-with-annotation-selector=test/on-paper=true"])
            .args([OsStr::new("--kubeconfig"), kubeconfig.as_os_str()])
            .args([OsStr::new("--config"), stages.as_os_str()])
            .start(&context.directory());
        let kwok = Self(kwok.expect("kwok starts"));
        context.kubectl().apply(NODES).await.expect("applied");
        let ready = ["wait", "--for=condition=Ready", "--timeout=60s", "node"];
        for name in ["whole-gpus", "sliced-gpus"] {
            let [wait, what, deadline, kind] = ready;
            context.run([wait, what, deadline, kind, name]).await;
        }
        kwok
    }

    /// What stays on such a node would never end.
    async fn end(mut self, context: &Context) {
        let wait = ["delete", "cgw", "--all", "--wait"];
        context.run(wait).await;
        context
            .eventually("the pods of the gateways are gone", async || {
                let pods = context.api::<Pod>().list(&ListParams::default()).await;
                let on_paper = |pod: &Pod| node_of(pod).is_some_and(|node| node != NODE_NAME);
                let pods = pods.expect("listed").items;
                (!pods.iter().any(on_paper)).then_some(())
            })
            .await;
        let nodes = Api::<Node>::all(context.client.clone());
        let marked = ListParams::default().labels(MARK);
        let parameters = DeleteParams::default();
        let deleted = nodes.delete_collection(&parameters, &marked).await;
        deleted.expect("deleted");
        context.run(["delete", "runtimeclass", "nvidia"]).await;
        self.0.kill().expect("killed");
    }
}

fn gateway(name: &str, replicas: u8, accelerator: &serde_json::Value) -> String {
    json!({
        "apiVersion": "claw.dev/v1alpha1",
        "kind": "ClawGateway",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "resources": {"cpu": "50m", "memory": "128Mi"},
            "models": [{"name": "big", "remote": {"provider": "OpenAI", "baseURL": "http://provider.invalid/v1"}}],
            "auth": {"apiKeys": {"selector": {"matchLabels": {"lab/keys": "yes"}}}},
            "accelerator": accelerator,
        },
    })
    .to_string()
}

const KEYS: &str = "
apiVersion: v1
kind: Secret
metadata: {name: keys, labels: {lab/keys: 'yes'}}
stringData: {lab: key-of-the-laboratory-0123456789}
";

async fn pods_of(context: &Context, name: &str) -> Vec<Pod> {
    let selector = format!("app.kubernetes.io/instance={name}");
    pods(context, &context.namespace, &selector).await
}

fn spec(pod: &Pod) -> &PodSpec {
    pod.spec.as_ref().expect("a pod has a spec")
}

fn node_of(pod: &Pod) -> Option<&str> {
    spec(pod).node_name.as_deref()
}

fn nodes(pods: &[Pod]) -> Vec<Option<&str>> {
    pods.iter().map(node_of).collect()
}

/// What the container is given of a resource.
fn limit(pod: &Pod, resource: &str) -> Option<Quantity> {
    let resources = spec(pod).containers[0].resources.as_ref()?;
    resources.limits.as_ref()?.get(resource).cloned()
}

fn environment(pod: &Pod) -> BTreeMap<&str, Option<&str>> {
    let variables = spec(pod).containers[0].env.iter().flatten();
    variables
        .map(|variable| (variable.name.as_str(), variable.value.as_deref()))
        .collect()
}

fn is_for_cuda(pod: &Pod) -> bool {
    let image = spec(pod).containers[0].image.as_deref();
    image.is_some_and(|image| image.ends_with("-cuda"))
}

async fn gateways_land_on_the_nodes_that_have_what_they_ask_for(context: Context) {
    platform::install(&context).await;
    let kwok = Kwok::start(&context).await;
    let inference = json!([{"key": "dedicated", "operator": "Equal", "value": "inference", "effect": "NoSchedule"}]);
    let manifests = [
        KEYS.to_owned(),
        gateway(
            "vision",
            2,
            &json!({"type": "Nvidia", "runtimeClassName": "nvidia"}),
        ),
        gateway(
            "slice",
            1,
            &json!({
                "type": "Nvidia", "count": 2, "resourceName": SLICE, "tolerations": inference,
                "nodeSelector": {"nvidia.com/mig.config": "all-1g.10gb"},
            }),
        ),
        gateway("plain", 1, &json!({"type": "None"})),
        gateway("either", 1, &json!({"type": "Auto"})),
    ];
    let manifests = manifests.join("\n---\n");
    context.kubectl().apply(&manifests).await.expect("applied");
    for name in ["vision", "slice", "plain", "either"] {
        wait_until_ready(&context, name).await;
    }
    let whole = pods_of(&context, "vision").await;
    assert_eq!(nodes(&whole), [Some("whole-gpus"); 2]);
    for pod in &whole {
        assert_eq!(spec(pod).runtime_class_name.as_deref(), Some("nvidia"));
        assert_eq!(limit(pod, WHOLE), Some(Quantity("1".into())));
        assert!(is_for_cuda(pod), "{:?}", spec(pod).containers[0].image);
        let capabilities = environment(pod)["NVIDIA_DRIVER_CAPABILITIES"];
        assert_eq!(capabilities, Some("compute,utility"));
    }
    let slice = pods_of(&context, "slice").await;
    assert_eq!(nodes(&slice), [Some("sliced-gpus")]);
    assert_eq!(limit(&slice[0], SLICE), Some(Quantity("2".into())));
    assert_eq!(limit(&slice[0], WHOLE), None);
    assert!(is_for_cuda(&slice[0]));
    assert_eq!(spec(&slice[0]).runtime_class_name, None);
    for name in ["plain", "either"] {
        let pods = pods_of(&context, name).await;
        assert_eq!(nodes(&pods), [Some(NODE_NAME)], "{name}");
        assert_eq!(limit(&pods[0], WHOLE), None, "{name}");
        assert!(!is_for_cuda(&pods[0]), "{name}");
    }
    // Both GPUs are taken: another gateway waits, says why, and serves once one is free.
    let late = gateway("late", 1, &json!({"type": "Nvidia"}));
    context.kubectl().apply(&late).await.expect("applied");
    let not_ready = ("Ready", "False", "Unschedulable");
    let message = context.reports::<ClawGateway>("late", not_ready).await;
    assert!(message.contains("Insufficient nvidia.com/gpu"), "{message}");
    assert_eq!(nodes(&pods_of(&context, "late").await), [None]);
    let fewer = json!({"spec": {"replicas": 1}});
    context.edit::<ClawGateway>("vision", &fewer).await;
    wait_until_ready(&context, "late").await;
    assert_eq!(
        nodes(&pods_of(&context, "late").await),
        [Some("whole-gpus")]
    );
    kwok.end(&context).await;
}

async fn the_processor_takes_over_where_there_is_no_gpu_and_status_says_why(context: Context) {
    platform::install(&context).await;
    let mut manifest: serde_json::Value =
        serde_json::from_str(&gateway("either", 1, &json!({"type": "Auto"}))).expect("JSON");
    manifest["spec"]["models"] = json!([{"name": "smollm2", "local": {"source": {"path": "smollm2"}, "contextLength": 512}}]);
    manifest["spec"]["resources"] = json!({"cpu": "100m", "memory": "1Gi"});
    let manifests = format!("{KEYS}\n---\n{manifest}");
    context.kubectl().apply(&manifests).await.expect("applied");
    wait_until_ready(&context, "either").await;
    let device = context
        .eventually("the status tells of the device", async || {
            let gateway = context.find::<ClawGateway>("either").await?;
            gateway.status?.devices.into_iter().next()
        })
        .await;
    assert_eq!(
        (device.model.as_str(), device.device.as_str()),
        ("smollm2", "Cpu")
    );
    let reason = device.reason.expect("a reason");
    assert!(reason.to_lowercase().contains("cuda"), "{reason}");
}
