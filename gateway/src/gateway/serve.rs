//! A running gateway: its parts, put together, and its life.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use claw_crds::gateway_config::OutboundConfig;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::listeners::Listeners;
use super::plan::Plan;
use crate::audit::Audit;
use crate::config::SharedRuntime;
use crate::config::chain;
use crate::config::reload::Reloader;
use crate::config::source::{Draft, Source};
use crate::config::watch::SecretWatch;
use crate::dispatch::Dispatcher;
use crate::exit::Failure;
use crate::limits::Limiter;
use crate::mailbox::PostOffice;
use crate::management::{self, Management, Readiness, StoreProbe};
use crate::metrics::Metrics;
use crate::models::{ModelPool, OnnxLoader, Workshop};
use crate::outbound::Outbound;
use crate::provider::Provider;
use crate::router::App;
use crate::shutdown::Signals;
use crate::telemetry::Telemetry;
use crate::{AppParts, AppState, channel, server};

/// How often readiness is looked at while somebody waits for it.
const READINESS_INTERVAL: Duration = Duration::from_millis(50);

/// How long cut connections may take to close.
const CLOSING_TIME: Duration = Duration::from_millis(500);

/// How long the last audit records may take to the disk.
const AUDIT_PATIENCE: Duration = Duration::from_secs(5);

/// What a gateway is made of.
pub(super) struct Parts {
    plan: Arc<Plan>,
    management: Arc<Management>,
    reloader: Arc<Reloader>,
    outbound: Outbound,
    limiter: Arc<Limiter>,
    mail: Arc<PostOffice>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
    signals: Signals,
}

impl Parts {
    /// Put the first configuration in force, where there is one; its models begin to load.
    pub(super) fn new(
        plan: Arc<Plan>,
        first: Option<Draft>,
        telemetry: &Telemetry,
    ) -> Result<Self, Failure> {
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let metrics = Arc::new(Metrics::new(&telemetry.log_events, plan.cpu_capacity));
        let limiter = Arc::new(Limiter::new(plan.state_dir.clone(), Arc::clone(&metrics)));
        let mail = Arc::new(PostOffice::new(
            plan.state_dir.clone(),
            metrics.mail.clone(),
        ));
        // What is allowed, each configuration says before its models load.
        let outbound = Outbound::new(OutboundConfig::default()).map_err(|error| {
            Failure::Internal(format!(
                "failed to prepare outgoing HTTP: {}",
                chain(&error)
            ))
        })?;
        let audit = Audit::new(plan.state_dir.clone(), metrics.audit.clone());
        let management = Arc::new(Management {
            shutdown: shutdown.clone(),
            audit: Arc::new(audit.with_outbound(outbound.clone())),
            limiter: Some(Arc::clone(&limiter)),
            mail: Some(Arc::clone(&mail)),
            metrics,
            ..Management::default()
        });
        let loader = Arc::new(OnnxLoader {
            threads: plan.inference_threads,
        });
        let workshop = Workshop::new(loader, outbound.clone(), &plan.state_dir);
        let pool = Arc::new(ModelPool::new(workshop, tasks.clone(), shutdown.clone()));
        // Whoever set it first, it is set.
        let _ = management.pool.set(Arc::clone(&pool));
        let reloader = Arc::new(Reloader::new(
            Arc::clone(&plan.reader),
            pool,
            outbound.clone(),
            (Arc::clone(&limiter), Arc::clone(&mail)),
            Arc::clone(&management),
            telemetry.log_level.clone(),
        ));
        if let Some(draft) = first {
            reloader.put_in_force(draft)?;
        }
        // Before anything else is told that we are there, so that a signal from then on is ours.
        let signals = Signals::listen()
            .map_err(|error| Failure::Internal(format!("failed to listen to signals: {error}")))?;
        Ok(Self {
            plan,
            management,
            reloader,
            outbound,
            limiter,
            mail,
            tasks,
            shutdown,
            signals,
        })
    }

    /// Serve to the end.
    pub(super) async fn serve(mut self, mut listeners: Listeners) -> Result<(), Failure> {
        if let Some(path) = &self.plan.port_file {
            listeners.write_port_file(path)?;
        }
        let store = StoreProbe::new(self.plan.state_dir.clone(), &self.management);
        self.tasks
            .spawn(store.follow(Arc::clone(&self.management), self.shutdown.clone()));
        if let Some((listener, address)) = listeners.management.take() {
            management::spawn(listener, Arc::clone(&self.management)).map_err(|error| {
                Failure::Internal(format!("failed to serve the management port: {error}"))
            })?;
            tracing::info!(%address, "the management port is open");
        }
        self.follow_configuration().await?;
        let management = Arc::clone(&self.management);
        let mut too_slow = pin!(ready_within(self.plan.ready_within, &management));
        let closing = CancellationToken::new();
        let runtime = tokio::select! {
            runtime = first_runtime(&management) => runtime,
            outcome = &mut too_slow => return outcome,
            () = self.signals.next() => return Ok(()),
        };
        self.start_serving(listeners, runtime, closing.clone())?;
        let outcome = tokio::select! {
            () = self.signals.next() => Ok(()),
            outcome = too_slow => outcome,
        };
        self.drain(closing).await;
        outcome
    }

    /// Start whatever notices changes.
    async fn follow_configuration(&self) -> Result<(), Failure> {
        let changed = Arc::new(Notify::new());
        if let Source::Secret { namespace, name } = &self.plan.reader.source {
            let watch = SecretWatch::new(namespace.as_deref(), name)
                .await
                .map_err(|error| Failure::Usage(chain(&error)))?;
            let (reader, management) =
                (Arc::clone(&self.plan.reader), Arc::clone(&self.management));
            self.tasks.spawn(watch.follow(
                reader,
                management,
                Arc::clone(&changed),
                self.shutdown.clone(),
            ));
        }
        let reloader = Arc::clone(&self.reloader);
        self.tasks
            .spawn(reloader.follow(changed, self.shutdown.clone()));
        Ok(())
    }

    fn start_serving(
        &self,
        listeners: Listeners,
        runtime: SharedRuntime,
        closing: CancellationToken,
    ) -> Result<(), Failure> {
        let state = self.state(runtime);
        let internal = |error| {
            Failure::Internal(format!(
                "failed to serve {}: {error}",
                listeners.public_address
            ))
        };
        let listener = tokio::net::TcpListener::from_std(listeners.public).map_err(internal)?;
        let app = App::new(state.clone());
        self.tasks.spawn(channel::take_over(state.clone()));
        tracing::info!(address = %listeners.public_address, "serving");
        self.tasks.spawn(async move {
            if let Err(error) = server::serve(listener, app, state, closing).await {
                tracing::error!(%error, "the public port failed");
            }
        });
        Ok(())
    }

    fn state(&self, shared_runtime: SharedRuntime) -> AppState {
        let metrics: Arc<Metrics> = Arc::clone(&self.management.metrics);
        let provider = Provider::new(self.outbound.clone(), self.plan.timeouts.of_one_try());
        let dispatcher = Arc::new(Dispatcher::new(
            Arc::clone(&shared_runtime),
            provider,
            self.plan.timeouts.total_timeout,
            Arc::clone(&metrics),
            Arc::clone(&self.limiter),
        ));
        AppState::from(AppParts {
            audit: Arc::clone(&self.management.audit),
            shared_runtime,
            respond: Arc::<Dispatcher>::clone(&dispatcher),
            dispatcher,
            attempts: Arc::default(),
            rate_limits: Arc::default(),
            limiter: Arc::clone(&self.limiter),
            channels: Arc::default(),
            mail: Arc::clone(&self.mail),
            metrics,
            outbound: self.outbound.clone(),
            tasks: self.tasks.clone(),
            shutdown: self.shutdown.clone(),
        })
    }

    /// Unready, then closed for new connections, then done with those there are, or out of patience.
    async fn drain(&mut self, closing: CancellationToken) {
        tracing::info!(
            grace_s = self.plan.shutdown_grace.as_secs(),
            "shutting down"
        );
        self.shutdown.cancel();
        self.tasks.close();
        tokio::select! {
            () = self.tasks.wait() => tracing::info!("every request was answered"),
            () = tokio::time::sleep(self.plan.shutdown_grace) => {
                tracing::warn!("the grace period is over, open requests are cut off");
            }
            () = self.signals.next() => tracing::warn!("a second signal, open requests are cut off"),
        }
        closing.cancel();
        // Before the runtime ends, so that connections close rather than tell their clients of failing upstreams.
        let _ = tokio::time::timeout(CLOSING_TIME, self.tasks.wait()).await;
        // After the last answer was settled.
        self.mail.close().await;
        self.limiter.close().await;
        let audit = Arc::clone(&self.management.audit);
        if let Err(error) = tokio::task::spawn_blocking(move || audit.close(AUDIT_PATIENCE)).await {
            tracing::error!(%error, "closing the audit log failed");
        }
    }
}

/// Waits for a configuration from a cluster.
async fn first_runtime(management: &Management) -> SharedRuntime {
    let mut interval = tokio::time::interval(READINESS_INTERVAL);
    loop {
        if let Some(runtime) = management.runtime.get() {
            return Arc::clone(runtime);
        }
        interval.tick().await;
    }
}

/// Ends only with a failure.
async fn ready_within(limit: Option<Duration>, management: &Management) -> Result<(), Failure> {
    let ready = async {
        let mut interval = tokio::time::interval(READINESS_INTERVAL);
        while !Readiness::of(management).ready {
            interval.tick().await;
        }
    };
    if let Some(limit) = limit
        && tokio::time::timeout(limit, ready).await.is_err()
    {
        let reasons = Readiness::of(management).reasons.join("; ");
        return Err(Failure::NotReady(format!(
            "--ready-within {}s: not ready: {reasons}",
            limit.as_secs_f32()
        )));
    }
    std::future::pending().await
}
