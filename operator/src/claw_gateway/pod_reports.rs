//! What the pods say of themselves on their management port: on which device each local model runs, and what keeps a
//! pod from being ready.
//!
//! A pod that serves is asked once and, as occasion offers, again after a while; one that does not is asked at each
//! occasion. One that cannot be reached (the operator may run outside the pod network) is left alone for a while;
//! nothing waits for it but a moment.

mod summary;

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use claw_crds::MANAGEMENT_PORT;
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde::Deserialize;
pub use summary::Summary;

/// How long the answer of a pod that serves holds.
const LIFE: Duration = Duration::from_mins(10);
/// The same of one that is not ready, or loads a model: it gets on.
const LIFE_UNREADY: Duration = Duration::from_secs(5);
/// How long nobody tries to reach a pod that could not be reached.
const REST: Duration = Duration::from_mins(1);
/// How long a pod may take to answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// So many pods of a gateway are asked, at once; the others have the same models.
const MOST_ASKED: usize = 8;

/// What a pod has said, and when.
#[derive(Clone, Debug)]
struct Answer {
    pod: Asked,
    at: Instant,
    report: Option<Report>,
}

/// A pod to ask.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    name: String,
    uid: String,
    is_ready: bool,
    address: IpAddr,
}

/// What `/status` says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Report {
    /// What keeps it from being ready.
    #[serde(default)]
    reasons: Vec<String>,
    models: Vec<Model>,
}

/// What it says of one model.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Model {
    name: String,
    /// `local` or `remote`.
    kind: String,
    /// `ready`, `failed`, or what it is doing.
    state: String,
    /// Where it runs, once it is loaded.
    device: Option<String>,
    /// Why there, or why it is not loaded.
    reason: Option<String>,
    /// How far it is.
    progress: Option<String>,
}

impl Report {
    /// Whether every one of these models is loaded. One that is not even listed will be: the pod has yet to see the
    /// configuration that names it.
    fn has_loaded(&self, models: &[&str]) -> bool {
        let is_loaded = |name: &&str| {
            let mut told = self.models.iter();
            told.any(|model| model.name == **name && model.device.is_some())
        };
        models.iter().all(is_loaded)
    }
}

/// Namespace and name of a gateway.
type Key = (String, String);

/// What the pods of all gateways have said.
#[derive(Debug)]
pub struct PodReports {
    /// None where it could not be set up; then nobody is asked.
    client: Option<reqwest::Client>,
    known: Mutex<HashMap<Key, Vec<Answer>>>,
}

impl Default for PodReports {
    fn default() -> Self {
        // The client wants one, though pods are asked without TLS; somebody may have chosen it before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // No proxy leads to pods.
        let client = reqwest::Client::builder().no_proxy().build();
        Self {
            client: client.ok(),
            known: Mutex::default(),
        }
    }
}

impl PodReports {
    /// What the pods of a gateway say, as far as they can be asked. Those that serve are asked only for its
    /// `local_models`: they have nothing else to tell.
    pub async fn of(
        &self,
        namespace: &str,
        gateway: &str,
        pods: &[Arc<Pod>],
        local_models: &[&str],
    ) -> Summary {
        let mut asked = asked(pods);
        asked.retain(|pod| !(pod.is_ready && local_models.is_empty()));
        if asked.is_empty() {
            self.forget(namespace, gateway);
            return Summary::default();
        }
        let key = (namespace.to_owned(), gateway.to_owned());
        let before = self.lock().get(&key).cloned().unwrap_or_default();
        let answers: Vec<Answer> = stream::iter(asked)
            .map(|pod| self.answer(pod, &before, local_models))
            // In their order: what is told shall not change by chance.
            .buffered(MOST_ASKED)
            .collect()
            .await;
        let summary = summary::of(&answers, local_models);
        self.lock().insert(key, answers);
        summary
    }

    /// A gateway is gone.
    pub fn forget(&self, namespace: &str, gateway: &str) {
        let key = (namespace.to_owned(), gateway.to_owned());
        self.lock().remove(&key);
    }

    /// What the pod said a moment ago, or says now.
    async fn answer(&self, pod: Asked, before: &[Answer], local_models: &[&str]) -> Answer {
        let now = Instant::now();
        let kept = before
            .iter()
            .find(|answer| answer.pod == pod && now < answer.at + answer.life(local_models));
        if let Some(kept) = kept {
            return kept.clone();
        }
        let address = SocketAddr::new(pod.address, MANAGEMENT_PORT);
        Answer {
            report: self.ask(address).await,
            pod,
            at: now,
        }
    }

    async fn ask(&self, address: SocketAddr) -> Option<Report> {
        let request = self
            .client
            .as_ref()?
            .get(format!("http://{address}/status"));
        let answer = request.timeout(PATIENCE).send().await;
        let answer = answer.and_then(reqwest::Response::error_for_status);
        let report = match answer {
            Ok(answer) => answer.json::<Report>().await,
            Err(error) => Err(error),
        };
        report
            .inspect_err(|error| {
                tracing::debug!(
                    %address,
                    error = crate::error::chain(error),
                    "a gateway pod could not be asked for its state"
                );
            })
            .ok()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Vec<Answer>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answer {
    fn life(&self, local_models: &[&str]) -> Duration {
        match (&self.report, self.pod.is_ready) {
            (Some(report), true) if !report.has_loaded(local_models) => LIFE_UNREADY,
            (_, true) => LIFE,
            (Some(_), false) => LIFE_UNREADY,
            (None, false) => REST,
        }
    }
}

/// The pods to ask, by name: those with an address that are not on their way out.
fn asked(pods: &[Arc<Pod>]) -> Vec<Asked> {
    let mut asked: Vec<Asked> = pods
        .iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .filter_map(|pod| {
            let status = pod.status.as_ref()?;
            let mut conditions = status.conditions.iter().flatten();
            Some(Asked {
                name: pod.name_any(),
                uid: pod.uid()?,
                is_ready: conditions.any(|one| one.type_ == "Ready" && one.status == "True"),
                address: status.pod_ip.as_ref()?.parse().ok()?,
            })
        })
        .collect();
    asked.sort();
    asked.truncate(MOST_ASKED);
    asked
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, ready: &str, ip: &str) -> Arc<Pod> {
        let pod = json!({
            "metadata": {"name": name, "uid": format!("uid-{name}")},
            "status": {"podIP": ip, "conditions": [{"type": "Ready", "status": ready}]},
        });
        Arc::new(serde_json::from_value(pod).expect("a pod"))
    }

    #[test]
    fn pods_with_an_address_are_asked_in_order() {
        let mut leaving = (*pod("d", "True", "10.0.0.4")).clone();
        leaving.metadata.deletion_timestamp =
            Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).expect("a time"));
        let pods = [
            pod("b", "True", "10.0.0.2"),
            pod("a", "False", "10.0.0.1"),
            pod("c", "True", "nonsense"),
            Arc::new(leaving),
        ];
        let asked = asked(&pods);
        let told: Vec<_> = asked
            .iter()
            .map(|pod| (pod.name.as_str(), pod.is_ready))
            .collect();
        assert_eq!(told, [("a", false), ("b", true)]);
    }

    #[tokio::test]
    async fn a_pod_tells_by_its_status_and_one_that_does_not_is_no_error() {
        let status = json!({
            "version": "1", "ready": false, "reasons": ["no configuration yet"],
            "models": [{"name": "parrot", "kind": "local", "state": "ready", "device": "Cpu"}],
        });
        let answer = move || std::future::ready(axum::Json(status.clone()));
        let router = axum::Router::new().route("/status", axum::routing::get(answer));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("bound");
        let mut server = tokio::task::JoinSet::new();
        server.spawn(async { axum::serve(listener, router).await });
        let reports = PodReports::default();
        let report = reports.ask(address).await.expect("a report");
        assert_eq!(report.reasons, ["no configuration yet"]);
        assert_eq!(report.models[0].device.as_deref(), Some("Cpu"));
        server.shutdown().await;
        assert_eq!(reports.ask(address).await, None);
    }
}
