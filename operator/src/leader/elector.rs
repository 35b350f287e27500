//! Getting, keeping and giving back the Lease.

use std::{future::Future, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::{Api, Client, api::PostParams, core::ObjectMeta};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::lease::{Step, View, decide, released, word};
use crate::{
    error::chain,
    health::{Health, State},
    metrics::Metrics,
};

/// How long everything takes.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// After so long without a sign, somebody else may take over.
    pub lease: Duration,
    /// After so long without a renewal, the holder stops. Less than `lease`, so that two never reconcile at once.
    pub renew: Duration,
    /// Time between two tries.
    pub retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            renew: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// Why the Lease could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("failed to {verb} the Lease {name}")]
pub struct Error {
    verb: &'static str,
    name: String,
    source: kube::Error,
}

/// One candidate.
pub struct Elector {
    api: Api<Lease>,
    name: String,
    identity: String,
    timing: Timing,
    health: Health,
    metrics: Metrics,
    seen: Option<(LeaseSpec, Instant)>,
}

impl Elector {
    /// A candidate for the Lease `name`. `identity` must be unlike any other candidate's.
    pub fn new(
        client: Client,
        (namespace, name): (&str, &str),
        identity: &str,
        health: Health,
        metrics: Metrics,
    ) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity: identity.to_owned(),
            timing: Timing::default(),
            health,
            metrics,
            seen: None,
        }
    }

    /// With another timing.
    #[must_use]
    pub fn with_timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// Run `work` whenever this process leads, until `shutdown`; then wait for it to finish, and give the Lease
    /// back. Where the Lease is lost, `work` is dropped at once.
    pub async fn run<F>(mut self, work: impl Fn() -> F, shutdown: &CancellationToken)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        while let Some(held_since) = shutdown.run_until_cancelled(self.acquire()).await {
            tracing::info!(identity = self.identity, "leading");
            self.metrics.set_leader(true);
            let mut task = JoinSet::new();
            task.spawn(work());
            let finished = tokio::select! {
                () = self.keep(held_since) => false,
                ended = task.join_next() => {
                    if let Some(Err(error)) = ended {
                        // It would happen again at once: others may have a try.
                        tracing::error!(error = chain(&error), "an internal fault ended the work");
                        sleep(self.timing.retry).await;
                    }
                    true
                }
            };
            // Stops at once what still runs.
            task.shutdown().await;
            self.metrics.set_leader(false);
            // What is in the queues, and in the clusters, is told by the next leader.
            self.metrics.forget_objects();
            self.health.set(State::Starting);
            if finished {
                self.release().await;
            } else {
                tracing::warn!(identity = self.identity, "lost the lead");
            }
            if shutdown.is_cancelled() {
                break;
            }
        }
    }

    /// Try until the Lease is ours. Since when it is, at the latest.
    async fn acquire(&mut self) -> Instant {
        loop {
            self.health.beat();
            let started = Instant::now();
            match timeout(self.timing.renew, self.try_hold()).await {
                Ok(Ok(true)) => return started,
                Ok(Ok(false)) => self.health.set(State::Standby),
                Ok(Err(error)) => warn(&error),
                Err(_) => tracing::warn!("the API server did not answer about the Lease in time"),
            }
            sleep(self.pause()).await;
        }
    }

    /// Until the next try: at the latest when the Lease runs out that somebody else holds.
    fn pause(&self) -> Duration {
        // Candidates that start together shall not meet at every try.
        let chance = 1.0 + rand::random::<f64>() / 5.0;
        let retry = self.timing.retry;
        let runs_out = self
            .seen
            .as_ref()
            .map(|(lease, since)| word(lease, self.timing.lease).saturating_sub(since.elapsed()))
            .filter(|left| !left.is_zero());
        let pause = runs_out.map_or(retry, |left| left.min(retry));
        pause.mul_f64(chance)
    }

    /// Renew until the Lease is lost, or might be.
    async fn keep(&mut self, held_since: Instant) {
        let mut renewed = held_since;
        loop {
            self.health.beat();
            sleep(self.timing.retry).await;
            let Some(left) = self.timing.renew.checked_sub(renewed.elapsed()) else {
                return;
            };
            let started = Instant::now();
            match timeout(left, self.try_hold()).await {
                // Others count from when it was written, which is not before we began.
                Ok(Ok(true)) => renewed = started,
                Ok(Ok(false)) | Err(_) => return,
                Ok(Err(error)) => warn(&error),
            }
        }
    }

    /// Take or renew the Lease, if it may be. Whether it is ours.
    async fn try_hold(&mut self) -> Result<bool, Error> {
        let live = self
            .api
            .get_opt(&self.name)
            .await
            .map_err(|source| self.error("read", source))?;
        let spec = live
            .as_ref()
            .map(|lease| lease.spec.clone().unwrap_or_default());
        let unchanged_for = self.unchanged_for(spec.as_ref());
        let step = decide(View {
            identity: &self.identity,
            duration: self.timing.lease,
            lease: spec.as_ref(),
            unchanged_for,
            now: Timestamp::now(),
        });
        let Step::Hold(spec) = step else {
            return Ok(false);
        };
        self.write(live, spec).await
    }

    /// For how long we have seen the same Lease.
    fn unchanged_for(&mut self, spec: Option<&LeaseSpec>) -> Duration {
        match (&self.seen, spec) {
            (Some((seen, since)), Some(spec)) if seen == spec => since.elapsed(),
            _ => {
                self.seen = spec.map(|spec| (spec.clone(), Instant::now()));
                Duration::ZERO
            }
        }
    }

    /// Write, unless somebody else did first. Whether it was written.
    async fn write(&self, live: Option<Lease>, spec: LeaseSpec) -> Result<bool, Error> {
        let params = PostParams::default();
        let written = if let Some(live) = live {
            // The resource version goes along, so only one of two writers gets through.
            let lease = Lease {
                spec: Some(spec),
                ..live
            };
            self.api.replace(&self.name, &params, &lease).await
        } else {
            let metadata = ObjectMeta {
                name: Some(self.name.clone()),
                ..ObjectMeta::default()
            };
            let lease = Lease {
                metadata,
                spec: Some(spec),
            };
            self.api.create(&params, &lease).await
        };
        match written {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(source) => Err(self.error("write", source)),
        }
    }

    /// Give the Lease back, so that the next one need not wait.
    async fn release(&self) {
        let release = async {
            let live = self
                .api
                .get_opt(&self.name)
                .await
                .map_err(|source| self.error("read", source))?;
            let spec = live.as_ref().and_then(|lease| lease.spec.as_ref());
            match spec.filter(|spec| spec.holder_identity.as_deref() == Some(&self.identity)) {
                Some(spec) => {
                    let spec = released(spec, Timestamp::now());
                    self.write(live, spec).await.map(drop)
                }
                None => Ok(()),
            }
        };
        match timeout(self.timing.renew, release).await {
            Ok(Ok(())) => tracing::info!(identity = self.identity, "gave the lead back"),
            Ok(Err(error)) => warn(&error),
            Err(_) => tracing::warn!("the API server did not take the Lease back in time"),
        }
    }

    fn error(&self, verb: &'static str, source: kube::Error) -> Error {
        Error {
            verb,
            name: self.name.clone(),
            source,
        }
    }
}

fn warn(error: &Error) {
    tracing::warn!(error = chain(error), "leader election");
}
