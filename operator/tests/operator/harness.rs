//! The controllers, running against the fake API server.

use std::{sync::Arc, time::Duration};

use claw_operator::{
    context::Context, controllers, environment::Environment, metrics::Metrics, scope::Scope,
    world::World,
};
use kube::Client;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::fake_api::FakeApi;

/// Long enough for a slow machine; reached only when a test fails.
const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) const GATEWAY: &str = "/apis/claw.dev/v1alpha1/namespaces/shop/clawgateways/helpdesk";
pub(crate) const CONFIG: &str = "/api/v1/namespaces/shop/secrets/helpdesk-config";
pub(crate) const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/shop/deployments/helpdesk";
pub(crate) const UPSTREAM: &str = "/api/v1/namespaces/shop/secrets/upstream";

pub(crate) fn route_path(name: &str) -> String {
    format!("/apis/claw.dev/v1alpha1/namespaces/shop/modelroutes/{name}")
}

pub(crate) fn channel_path(name: &str) -> String {
    format!("/apis/claw.dev/v1alpha1/namespaces/shop/channels/{name}")
}

/// A running operator.
pub(crate) struct Operator {
    pub(crate) metrics: Metrics,
    shutdown: CancellationToken,
    tasks: JoinSet<()>,
}

impl Operator {
    pub(crate) fn start(api: &FakeApi) -> Self {
        let api = api.clone();
        let service = tower::service_fn(move |request| api.clone().serve(request));
        let client = Client::new(service, "shop");
        let (world, writers) = World::new();
        let metrics = Metrics::new();
        let environment = Environment {
            image: "registry.example.com/bot:7".into(),
            cuda_image: "registry.example.com/bot:7-gpu".into(),
            image_pull_secrets: Vec::new(),
            runbook_base: "https://runbooks.example.com".into(),
        };
        let context = Context::new(client, world, environment, metrics.clone(), "test");
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(controllers::run(
            Arc::new(context),
            writers,
            Scope::default(),
            shutdown.clone(),
        ));
        Self {
            metrics,
            shutdown,
            tasks,
        }
    }

    /// How many reconciles of gateways went well.
    pub(crate) fn reconciles(&self) -> u64 {
        let line = r#"claw_operator_reconciles_total{kind="ClawGateway",outcome="success"} "#;
        let text = self.metrics.encode();
        let count = text.lines().find_map(|text| text.strip_prefix(line));
        count.and_then(|count| count.parse().ok()).unwrap_or(0)
    }

    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        let stopped = tokio::time::timeout(DEADLINE, self.tasks.join_next()).await;
        stopped
            .expect("the operator stops in time")
            .expect("it was running")
            .expect("it did not panic");
    }
}

/// Wait until `wanted` holds of the object at `path`.
pub(crate) async fn until(
    api: &FakeApi,
    path: &str,
    what: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Value {
    let mut changes = api.changes();
    let found = tokio::time::timeout(DEADLINE, async {
        loop {
            if let Some(object) = api.get(path).filter(&wanted) {
                return object;
            }
            changes.changed().await.expect("the fake API server lives");
        }
    })
    .await;
    assert!(
        found.is_ok(),
        "{path} never was {what}: {:?}",
        api.get(path)
    );
    found.expect("checked")
}

/// Wait until a condition has a reason.
pub(crate) async fn until_reason(api: &FakeApi, path: &str, kind: &str, reason: &str) -> Value {
    let what = format!("{kind}: {reason}");
    let object = until(api, path, &what, |object| {
        condition(object, kind)["reason"] == reason
    })
    .await;
    condition(&object, kind).clone()
}

/// Wait until so many reconciles of gateways went well.
pub(crate) async fn until_reconciled(operator: &Operator, times: u64) {
    let reached = tokio::time::timeout(DEADLINE, async {
        let mut pause = tokio::time::interval(Duration::from_millis(5));
        while operator.reconciles() < times {
            pause.tick().await;
        }
    });
    reached.await.expect("the operator reconciles");
}

pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    let conditions = object["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == kind)
        .unwrap_or(&Value::Null)
}
