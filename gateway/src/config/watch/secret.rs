//! The Secret with the configuration, by name: the gateway may read no other.

use std::sync::Arc;

use claw_crds::gateway_config::CONFIG_KEY;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Config};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::config::source::Reader;
use crate::config::{ConfigError, chain};
use crate::management::Management;

/// Watches one Secret.
pub struct SecretWatch {
    api: Api<Secret>,
    name: String,
}

/// Why the Kubernetes API cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretWatchError {
    /// Neither in a cluster nor with a KUBECONFIG.
    #[error(
        "--config-secret: found no Kubernetes configuration: run in a cluster, or set KUBECONFIG"
    )]
    Config(#[source] kube::config::InferConfigError),
    /// The configuration does not make a client.
    #[error("--config-secret: the Kubernetes configuration cannot be used")]
    Client(#[source] kube::Error),
}

impl SecretWatch {
    /// Prepare to watch; nothing is asked of the API yet.
    pub async fn new(namespace: Option<&str>, name: &str) -> Result<Self, SecretWatchError> {
        let config = Config::infer().await.map_err(SecretWatchError::Config)?;
        let client = Client::try_from(config).map_err(SecretWatchError::Client)?;
        let api = match namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::default_namespaced(client),
        };
        Ok(Self {
            api,
            name: name.to_owned(),
        })
    }

    /// Hand every version to the reader until shutdown. A Secret that is gone changes nothing: the last good
    /// configuration serves on.
    pub async fn follow(
        self,
        reader: Arc<Reader>,
        management: Arc<Management>,
        changed: Arc<Notify>,
        shutdown: CancellationToken,
    ) {
        let mut versions = watcher::watch_object(self.api, &self.name)
            .default_backoff()
            .boxed();
        loop {
            let version = tokio::select! {
                () = shutdown.cancelled() => return,
                version = versions.next() => version,
            };
            match version {
                Some(Ok(Some(secret))) => match content(secret) {
                    Some(content) => {
                        reader.receive(content);
                        changed.notify_one();
                    }
                    None => report(
                        &management,
                        &reader,
                        format!("has no entry {CONFIG_KEY}: is it the operator's?"),
                    ),
                },
                Some(Ok(None)) => {
                    report(
                        &management,
                        &reader,
                        "does not exist: apply the ClawGateway, and check the operator".to_owned(),
                    );
                }
                Some(Err(error)) => tracing::warn!(
                    error = chain(&error),
                    "watching the configuration failed, trying again"
                ),
                None => return,
            }
        }
    }
}

fn content(secret: Secret) -> Option<Vec<u8>> {
    secret.data?.remove(CONFIG_KEY).map(|content| content.0)
}

fn report(management: &Management, reader: &Reader, problem: String) {
    tracing::warn!(
        origin = reader.origin(),
        problem,
        "no configuration, the last good one serves on"
    );
    management
        .refused
        .store(Some(Arc::new(ConfigError::new(reader.origin(), problem))));
}
