//! On which device each local model runs, and why: asked of the pods that serve, on their management port.
//!
//! A pod is asked once when it gets ready and, as occasion offers, again after a while. One that cannot be reached (the
//! operator may run outside the pod network) is left alone for as long; nothing waits for it but a moment.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use claw_crds::{MANAGEMENT_PORT, claw_gateway::ModelDevice};
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde::Deserialize;

/// How long an answer holds, or its absence.
const LIFE: Duration = Duration::from_mins(10);
/// How long a pod may take to answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// So many pods of a gateway are asked, at once; the others have the same models.
const MOST_ASKED: usize = 8;

/// What a pod has said, and when.
#[derive(Clone, Debug)]
struct Answer {
    at: Instant,
    models: Option<Vec<Told>>,
}

/// What `/status` says of one model.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Told {
    name: String,
    device: Option<String>,
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Status {
    models: Vec<Told>,
}

/// By uid of the pod.
type Answers = HashMap<String, Answer>;
/// Namespace and name of a gateway.
type Key = (String, String);

/// What the pods of all gateways have said.
#[derive(Debug)]
pub struct Devices {
    /// None where it could not be set up; then nobody is asked.
    client: Option<reqwest::Client>,
    known: Mutex<HashMap<Key, Answers>>,
}

impl Default for Devices {
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

impl Devices {
    /// Where the models of a gateway run, as far as its pods tell; nothing where none could be asked.
    pub async fn of(&self, namespace: &str, gateway: &str, pods: &[Arc<Pod>]) -> Vec<ModelDevice> {
        let key = (namespace.to_owned(), gateway.to_owned());
        let before = self.lock().get(&key).cloned().unwrap_or_default();
        let now = Instant::now();
        let answers: Answers = stream::iter(asked(pods))
            .map(|(uid, address)| {
                let kept = before
                    .get(&uid)
                    .filter(|answer| now < answer.at + LIFE)
                    .cloned();
                async move {
                    let answer = match kept {
                        Some(answer) => answer,
                        None => Answer {
                            at: now,
                            models: self.ask(SocketAddr::new(address, MANAGEMENT_PORT)).await,
                        },
                    };
                    (uid, answer)
                }
            })
            .buffer_unordered(MOST_ASKED)
            .collect()
            .await;
        let merged = merge(
            answers
                .values()
                .filter_map(|answer| answer.models.as_deref()),
        );
        self.lock().insert(key, answers);
        merged
    }

    /// A gateway is gone.
    pub fn forget(&self, namespace: &str, gateway: &str) {
        let key = (namespace.to_owned(), gateway.to_owned());
        self.lock().remove(&key);
    }

    async fn ask(&self, address: SocketAddr) -> Option<Vec<Told>> {
        let request = self
            .client
            .as_ref()?
            .get(format!("http://{address}/status"));
        let answer = request.timeout(PATIENCE).send().await;
        let answer = answer.and_then(reqwest::Response::error_for_status);
        let status = match answer {
            Ok(answer) => answer.json::<Status>().await,
            Err(error) => Err(error),
        };
        match status {
            Ok(status) => Some(status.models),
            Err(error) => {
                tracing::debug!(
                    %address,
                    error = crate::error::chain(&error),
                    "a gateway pod could not be asked for its models"
                );
                None
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Answers>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Uid and address of the pods to ask: those that serve.
fn asked(pods: &[Arc<Pod>]) -> Vec<(String, IpAddr)> {
    let mut serving: Vec<(String, IpAddr)> = pods
        .iter()
        .filter_map(|pod| {
            let status = pod.status.as_ref()?;
            let mut conditions = status.conditions.iter().flatten();
            let is_ready = conditions.any(|one| one.type_ == "Ready" && one.status == "True");
            let address = status.pod_ip.as_ref()?.parse().ok()?;
            (is_ready && pod.metadata.deletion_timestamp.is_none()).then_some((pod.uid()?, address))
        })
        .collect();
    serving.sort();
    serving.truncate(MOST_ASKED);
    serving
}

/// One line a model. Where pods differ, their devices stand side by side.
fn merge<'a>(answers: impl Iterator<Item = &'a [Told]>) -> Vec<ModelDevice> {
    let mut models: BTreeMap<&str, (BTreeSet<&str>, BTreeSet<&str>)> = BTreeMap::new();
    for told in answers.flatten() {
        // Remote models run elsewhere, and one that is still loading nowhere.
        let Some(device) = &told.device else { continue };
        let (devices, reasons) = models.entry(&told.name).or_default();
        devices.insert(device);
        reasons.extend(told.reason.as_deref());
    }
    let joined = |texts: BTreeSet<&str>| texts.into_iter().collect::<Vec<_>>().join("; ");
    models
        .into_iter()
        .map(|(model, (devices, reasons))| ModelDevice {
            model: model.to_owned(),
            device: joined(devices),
            reason: Some(joined(reasons)).filter(|reason| !reason.is_empty()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(name: &str, device: Option<&str>, reason: Option<&str>) -> Told {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Told {
            name: name.to_owned(),
            device: owned(device),
            reason: owned(reason),
        }
    }

    fn pod(uid: &str, ready: &str, ip: &str) -> Arc<Pod> {
        let pod = json!({
            "metadata": {"uid": uid},
            "status": {"podIP": ip, "conditions": [{"type": "Ready", "status": ready}]},
        });
        Arc::new(serde_json::from_value(pod).expect("a pod"))
    }

    #[test]
    fn pods_that_agree_make_one_line_and_others_stand_side_by_side() {
        let first = [
            told("parrot", Some("Cpu"), Some("no GPU was found")),
            told("oracle", None, None),
        ];
        let second = [told("parrot", Some("Cuda"), None)];
        let merged = merge([&first[..], &first[..]].into_iter());
        let parrot = ModelDevice {
            model: "parrot".into(),
            device: "Cpu".into(),
            reason: Some("no GPU was found".into()),
        };
        assert_eq!(merged, [parrot]);
        let merged = merge([&first[..], &second[..]].into_iter());
        assert_eq!(merged[0].device, "Cpu; Cuda");
    }

    #[test]
    fn only_pods_that_serve_are_asked() {
        let pods = [
            pod("b", "True", "10.0.0.2"),
            pod("a", "False", "10.0.0.1"),
            pod("c", "True", "nonsense"),
        ];
        assert_eq!(
            asked(&pods),
            [("b".to_owned(), "10.0.0.2".parse().expect("one"))]
        );
    }

    #[tokio::test]
    async fn a_pod_tells_by_its_status_and_one_that_does_not_is_no_error() {
        let status = json!({"version": "1", "models": [{"name": "parrot", "kind": "local", "device": "Cpu"}]});
        let answer = move || std::future::ready(axum::Json(status.clone()));
        let router = axum::Router::new().route("/status", axum::routing::get(answer));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("bound");
        let mut server = tokio::task::JoinSet::new();
        server.spawn(async { axum::serve(listener, router).await });
        let devices = Devices::default();
        let models = devices.ask(address).await;
        assert_eq!(models, Some(vec![told("parrot", Some("Cpu"), None)]));
        server.shutdown().await;
        assert_eq!(devices.ask(address).await, None);
    }
}
