//! Puts configurations in force: the first one, and each good one after it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::source::{Draft, Reader};
use super::watch::FileWatch;
use super::{ConfigError, RuntimeConfig, chain, prepare};
use crate::audit::{Event, Summary};
use crate::limits::Limiter;
use crate::mailbox::PostOffice;
use crate::management::Management;
use crate::models::ModelPool;
use crate::outbound::Outbound;
use crate::telemetry::LogLevelControl;

/// Several writes in a row are one change, once it has been quiet for this long.
const QUIET: Duration = Duration::from_millis(20);
/// But no change waits longer than this.
const LONGEST_WAIT: Duration = Duration::from_millis(100);
/// Certificates are renewed by time, not by events.
const RENEWAL_CHECK: Duration = Duration::from_hours(1);

/// Keeps the newest good configuration in force.
pub struct Reloader {
    reader: Arc<Reader>,
    pool: Arc<ModelPool>,
    outbound: Outbound,
    limiter: Arc<Limiter>,
    mail: Arc<PostOffice>,
    management: Arc<Management>,
    /// What an auditor knows of the configuration in force.
    summary: Mutex<Option<Summary>>,
    log_level: LogLevelControl,
}

impl Reloader {
    /// A reloader for one gateway.
    pub fn new(
        reader: Arc<Reader>,
        pool: Arc<ModelPool>,
        outbound: Outbound,
        (limiter, mail): (Arc<Limiter>, Arc<PostOffice>),
        management: Arc<Management>,
        log_level: LogLevelControl,
    ) -> Self {
        Self {
            reader,
            pool,
            outbound,
            limiter,
            mail,
            management,
            summary: Mutex::default(),
            log_level,
        }
    }

    /// Read the configuration, and put it in force if it is good and new. A bad one is counted, logged with every
    /// problem and shown in the status, once. Blocking; needs a runtime for models that begin to load.
    pub fn reload(&self) {
        // Nothing is wrong yet where nothing has come yet.
        if self.reader.is_waiting() {
            return;
        }
        match self
            .reader
            .read()
            .and_then(|draft| self.put_in_force(draft))
        {
            Ok(()) => self.management.refused.store(None),
            Err(error) => self.refuse(error),
        }
    }

    /// Check a configuration and swap it in.
    pub fn put_in_force(
        &self,
        Draft {
            origin,
            config,
            warnings,
        }: Draft,
    ) -> Result<(), ConfigError> {
        let (summary, audit) = (Summary::of(&config), config.audit.clone());
        let log_level = config.log_level;
        let prepared = prepare(&origin, config)?;
        let current = self.management.current();
        if current
            .as_ref()
            .is_some_and(|current| current.hash == prepared.hash())
        {
            return Ok(());
        }
        for warning in &warnings {
            tracing::warn!(origin, warning, "the configuration could be better");
        }
        self.management
            .warnings
            .store((!warnings.is_empty()).then(|| Arc::new(warnings)));
        // Before models load, and before anything of the new configuration is called.
        self.outbound
            .follow(&prepared.outbound)
            .map_err(|error| ConfigError::new(&origin, chain(&error)))?;
        self.pool.follow(&prepared.model_pool);
        let runtime = Arc::new(prepared.install(|key| self.pool.acquire(key), current.as_deref()));
        log(&runtime);
        // Switched on before the first request that it is about, and off after the last record.
        self.management
            .audit
            .configure(audit.as_ref())
            .map_err(|error| {
                ConfigError::new(&origin, format!("audit: cannot be started: {error}"))
            })?;
        self.limiter.follow(&runtime);
        self.mail.follow(&runtime);
        self.record(&runtime, summary);
        self.log_level.set(log_level);
        match self.management.runtime.get() {
            Some(shared) => shared.store(runtime),
            // The one caller before the first configuration is the start of the gateway, or its reload task.
            None => drop(self.management.runtime.set(Arc::new(ArcSwap::new(runtime)))),
        }
        if current.is_some() {
            self.management.metrics.reload(true);
        }
        Ok(())
    }

    fn record(&self, runtime: &RuntimeConfig, summary: Summary) {
        let mut known = self.summary.lock().unwrap_or_else(PoisonError::into_inner);
        let audit = &self.management.audit;
        audit.note(Event::ConfigurationApplied {
            origin: runtime.origin.clone(),
            hash: runtime.hash.clone(),
        });
        for change in summary.changes(known.as_ref()) {
            audit.note(change);
        }
        *known = Some(summary);
    }

    fn refuse(&self, error: ConfigError) {
        if self.management.refused.load().as_deref() == Some(&error) {
            return;
        }
        for problem in &error.problems {
            tracing::error!(
                origin = error.origin,
                problem,
                "the new configuration is refused, the last good one serves on"
            );
        }
        self.management.metrics.reload(false);
        self.management.audit.note(Event::ConfigurationRefused {
            origin: error.origin.clone(),
            problems: error.problems.clone(),
        });
        self.management.refused.store(Some(Arc::new(error)));
    }

    /// Reload whenever something changed, until shutdown.
    pub async fn follow(self: Arc<Self>, changed: Arc<Notify>, shutdown: CancellationToken) {
        let mut files = FileWatch::start(&self.reader.watched(), &changed);
        // What changed between the first reading and now was not seen. The first tick is at once.
        let mut renewal = tokio::time::interval(RENEWAL_CHECK);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = renewal.tick() => {}
                () = changed.notified() => settle(&changed).await,
            }
            // Before reading, so that a change during the read is seen; folders may have been replaced by now.
            files.renew();
            let reloader = Arc::clone(&self);
            if let Err(error) = tokio::task::spawn_blocking(move || reloader.reload()).await {
                tracing::error!(%error, "reading the configuration failed");
            }
        }
    }
}

async fn settle(changed: &Notify) {
    let quiet = async {
        while tokio::time::timeout(QUIET, changed.notified())
            .await
            .is_ok()
        {}
    };
    // Whether it became quiet or not, it is time.
    let _ = tokio::time::timeout(LONGEST_WAIT, quiet).await;
}

fn log(runtime: &RuntimeConfig) {
    tracing::info!(
        origin = runtime.origin,
        hash = runtime.hash,
        gateway.name = runtime.gateway.name,
        models = runtime.models.len(),
        routes = runtime.routes.rules().len(),
        channels = runtime.channels.len(),
        tls = runtime.tls.is_some(),
        "a configuration is in force"
    );
}
