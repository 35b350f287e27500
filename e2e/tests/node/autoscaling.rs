//! Load makes more pods, by real metrics; fewer pods cut no stream.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use claw_crds::{ClawGateway, ModelRoute};
use claw_e2e::{
    cases,
    testing::{Case, Context},
};
use futures::future::join_all;
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;

use crate::{
    gateway::{Gateway, wait_until_ready},
    images::{CLIENT_VARIABLE, image},
    load,
    shop::{self, API_KEY, GATEWAY, ROUTE},
};

pub(crate) fn cases() -> Vec<Case> {
    let cases = cases![load_makes_two_pods_more_and_fewer_pods_cut_no_stream];
    cases.into_iter().map(Case::alone).collect()
}

/// Metrics come every 15 seconds, and the autoscaler looks as often; a machine that compiles beside it is slower.
const PATIENCE: Duration = Duration::from_mins(4);
const STREAMS: usize = 8;
/// As slow_provider.py has it.
const WORDS: usize = 100;

const SLOW_PROVIDER: &str = include_str!("slow_provider.py");

/// A provider that takes 50 seconds for an answer.
fn slow_provider() -> String {
    let provider = image(CLIENT_VARIABLE).name;
    let script = SLOW_PROVIDER.trim_end().replace('\n', "\n    ");
    format!(
        "
apiVersion: v1
kind: ConfigMap
metadata: {{name: slow}}
data:
  provider.py: |
    {script}
---
apiVersion: v1
kind: Pod
metadata: {{name: slow, labels: {{app: slow}}}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: provider
    image: {provider}
    args: [/provider/provider.py]
    readinessProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 1}}
    volumeMounts: [{{name: script, mountPath: /provider}}]
  volumes: [{{name: script, configMap: {{name: slow}}}}]
---
apiVersion: v1
kind: Service
metadata: {{name: slow}}
spec: {{selector: {{app: slow}}, ports: [{{port: 8080}}]}}
"
    )
}

/// Wanted and ready pods.
async fn replicas(context: &Context) -> Option<(i32, i32)> {
    let deployment = context.find::<Deployment>(GATEWAY).await?;
    let ready = deployment.status?.ready_replicas.unwrap_or_default();
    Some((deployment.spec?.replicas?, ready))
}

/// Open a stream by a connection of its own; the first word has come then.
async fn open_stream(gateway: &Gateway) -> reqwest::Response {
    let question = json!({"stream": true, "messages": [{"role": "user", "content": "a story"}]});
    let answer = gateway.ask(&gateway.client(), "/slow").json(&question);
    let answer = answer.bearer_auth(API_KEY).timeout(PATIENCE).send().await;
    let answer = answer.expect("a stream");
    assert_eq!(answer.status(), 200);
    answer
}

/// Read it to its end; gives when that was.
async fn read(stream: reqwest::Response) -> Instant {
    let text = stream.text().await.expect("nothing cuts the stream");
    let last = format!("word{} ", WORDS - 1);
    assert_eq!(text.matches("word").count(), WORDS, "{text}");
    assert!(
        text.contains(&last) && text.contains("data: [DONE]"),
        "{text}"
    );
    Instant::now()
}

async fn load_makes_two_pods_more_and_fewer_pods_cut_no_stream(context: Context) {
    let gateway = shop::open(&context).await;
    let slow = slow_provider();
    context.kubectl().apply(&slow).await.expect("applied");
    let wait = [
        "wait",
        "--for=condition=Ready",
        "--timeout=120s",
        "pod/slow",
    ];
    context.run(wait).await;
    let remote = |name: &str, provider: &str| {
        let url = format!("http://{provider}.{}.svc:8080/v1", context.namespace);
        json!({"name": name, "remote": {"provider": "OpenAI", "baseURL": url}})
    };
    let models = [remote("big", "provider"), remote("slow", "slow")];
    let scaling = json!({"minReplicas": 2, "maxReplicas": 4, "cpuUtilization": 50, "windowSeconds": 5, "stepPods": 2});
    // The request is so small that few questions are load; the new template is rolled out before they begin.
    let change = json!({"spec": {
        "replicas": null, "autoscaling": scaling, "models": models,
        "resources": {"cpu": "20m", "memory": "256Mi"},
    }});
    context.edit::<ClawGateway>(GATEWAY, &change).await;
    let routes = json!({"spec": {"routes": [{"pattern": "^/ask", "model": "big"}, {"pattern": "^/slow", "model": "slow"}]}});
    context.edit::<ModelRoute>(ROUTE, &routes).await;
    wait_until_ready(&context, GATEWAY).await;
    let rollout = format!("deployment/{GATEWAY}");
    context
        .run(["rollout", "status", "--timeout=180s", &rollout])
        .await;

    let scale = async {
        let mut wanted = BTreeSet::new();
        context
            .within(PATIENCE, "two pods more are ready", async || {
                let (all, ready) = replicas(&context).await?;
                wanted.insert(all);
                (ready == 4).then_some(())
            })
            .await;
        assert_eq!(wanted, BTreeSet::from([2, 4]), "by two at a time");
        let streams = join_all((0..STREAMS).map(|_| open_stream(&gateway))).await;
        let fewer = json!({"spec": {"autoscaling": {"minReplicas": 1, "maxReplicas": 1}}});
        context.edit::<ClawGateway>(GATEWAY, &fewer).await;
        let lowered = async {
            context
                .within(PATIENCE, "one pod is left", async || {
                    (replicas(&context).await? == (1, 1)).then(Instant::now)
                })
                .await
        };
        let (lowered, ends) = futures::join!(lowered, join_all(streams.into_iter().map(read)));
        let is_later = |end: &Instant| *end > lowered;
        assert!(ends.iter().all(is_later), "the streams were over too soon");
    };
    let ((), tally) = load::during(&gateway, scale).await;
    tally.expect_none_failed();
}
