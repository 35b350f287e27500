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

use super::pod_life;

/// How long the answer of a pod that serves holds.
const LIFE: Duration = Duration::from_mins(10);
/// The same of one that is not ready, or loads a model: it gets on.
const LIFE_UNREADY: Duration = Duration::from_secs(5);
/// How long nobody tries to reach a pod that could not be reached.
const REST: Duration = Duration::from_mins(1);
/// How long a pod may take to answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// No honest answer is larger; whoever sends more is not listened to.
const LONGEST_ANSWER_BYTES: usize = 256 << 10;
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
    /// `ready`, `failed`, or what it is doing.
    state: String,
    /// Where it runs, once it is loaded.
    device: Option<String>,
    /// Why there, or why it is not loaded.
    reason: Option<String>,
    /// How far it is.
    progress: Option<String>,
}

impl Model {
    /// Whether it is where it is to be: loaded, or ready to be when somebody wants it.
    fn is_settled(&self) -> bool {
        self.device.is_some() || self.state == "standby"
    }
}

impl Report {
    /// Whether every one of these models is loaded, as far as it is to be. One that is not even listed will be: the pod has yet to see the
    /// configuration that names it.
    fn has_loaded(&self, models: &[&str]) -> bool {
        let is_loaded = |name: &&str| {
            let mut told = self.models.iter();
            told.any(|model| model.name == **name && model.is_settled())
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
        // No proxy leads to pods, and no pod leads elsewhere.
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build();
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
        let client = self.client.as_ref()?;
        let asking = fetch(client, address);
        let report = tokio::time::timeout(PATIENCE, asking).await;
        let report = report.unwrap_or_else(|_| Err("it did not answer in time".to_owned()));
        report
            .inspect_err(|error| {
                tracing::debug!(%address, error, "a gateway pod could not be asked for its state");
            })
            .ok()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Vec<Answer>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn fetch(client: &reqwest::Client, address: SocketAddr) -> Result<Report, String> {
    let request = client.get(format!("http://{address}/status"));
    let told = |error| crate::error::chain(&error);
    let mut answer = request.send().await.map_err(told)?;
    if answer.status() != reqwest::StatusCode::OK {
        return Err(format!("it answered {}", answer.status()));
    }
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(told)? {
        body.extend_from_slice(&piece);
        if body.len() > LONGEST_ANSWER_BYTES {
            return Err("its answer is too long".to_owned());
        }
    }
    serde_json::from_slice(&body).map_err(|error| error.to_string())
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
        .filter(|pod| pod_life::is_going_on(pod))
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
    use axum::response::{IntoResponse, Redirect};
    use serde_json::json;
    use tokio::task::JoinSet;

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
        let mut evicted = (*pod("e", "False", "10.0.0.5")).clone();
        evicted.status.as_mut().expect("made").phase = Some("Failed".to_owned());
        let pods = [
            pod("b", "True", "10.0.0.2"),
            pod("a", "False", "10.0.0.1"),
            pod("c", "True", "nonsense"),
            Arc::new(leaving),
            Arc::new(evicted),
        ];
        let asked = asked(&pods);
        let told: Vec<_> = asked
            .iter()
            .map(|pod| (pod.name.as_str(), pod.is_ready))
            .collect();
        assert_eq!(told, [("a", false), ("b", true)]);
    }

    /// A pod that answers so to whatever it is asked.
    async fn serve(
        answer: impl IntoResponse + Clone + Send + Sync + 'static,
    ) -> (SocketAddr, JoinSet<()>) {
        let answer = move || std::future::ready(answer.clone());
        let router = axum::Router::new().fallback(answer);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("bound");
        let mut server = JoinSet::new();
        server.spawn(async { axum::serve(listener, router).await.expect("serves") });
        (address, server)
    }

    #[tokio::test]
    async fn a_pod_leads_nowhere_else() {
        let report = json!({"models": []}).to_string();
        let (elsewhere, _elsewhere) = serve(report).await;
        let (address, _pod) = serve(Redirect::temporary(&format!("http://{elsewhere}/"))).await;
        let reports = PodReports::default();
        assert!(reports.ask(elsewhere).await.is_some());
        assert_eq!(reports.ask(address).await, None);
    }

    #[tokio::test]
    async fn a_pod_that_says_too_much_is_not_listened_to() {
        let report = json!({"models": [], "padding": "x".repeat(LONGEST_ANSWER_BYTES)});
        let (address, _pod) = serve(report.to_string()).await;
        assert_eq!(PodReports::default().ask(address).await, None);
    }

    #[tokio::test]
    async fn a_pod_tells_by_its_status_and_one_that_does_not_is_no_error() {
        let status = json!({
            "version": "1", "ready": false, "reasons": ["no configuration yet"],
            "models": [{"name": "parrot", "kind": "local", "state": "ready", "device": "Cpu"}],
        });
        let (address, mut server) = serve(axum::Json(status)).await;
        let reports = PodReports::default();
        let report = reports.ask(address).await.expect("a report");
        assert_eq!(report.reasons, ["no configuration yet"]);
        assert_eq!(report.models[0].device.as_deref(), Some("Cpu"));
        server.shutdown().await;
        assert_eq!(reports.ask(address).await, None);
    }
}
