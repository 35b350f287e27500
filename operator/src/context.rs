//! Everything that a reconcile may touch, made in one place.

use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::{Client, runtime::events::Reporter};

use crate::{
    announcer::Announcer, backoff::Backoff, claw_gateway::pod_reports::PodReports,
    environment::Environment, metrics::Metrics, secret_index::SecretIndex, world::World,
};

/// Everything that a reconcile may touch.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What is known of it.
    pub world: World,
    /// What the operator was started with.
    pub environment: Environment,
    /// Counters.
    pub metrics: Metrics,
    /// Writes Kubernetes Events.
    pub announcer: Announcer,
    /// How long to wait after a failure.
    pub backoff: Backoff,
    /// What the gateways' pods say of themselves.
    pub pod_reports: PodReports,
    secret_index: Mutex<SecretIndex>,
}

impl Context {
    /// Put everything together. `identity` names this process in Events.
    pub fn new(
        client: Client,
        world: World,
        environment: Environment,
        metrics: Metrics,
        identity: &str,
    ) -> Self {
        let reporter = Reporter {
            controller: "claw-operator".into(),
            instance: Some(identity.to_owned()),
        };
        Self {
            announcer: Announcer::new(client.clone(), reporter),
            client,
            world,
            environment,
            metrics,
            backoff: Backoff::default(),
            pod_reports: PodReports::default(),
            secret_index: Mutex::default(),
        }
    }

    /// Which gateways read which Secrets and ConfigMaps.
    pub fn secret_index(&self) -> MutexGuard<'_, SecretIndex> {
        self.secret_index
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
