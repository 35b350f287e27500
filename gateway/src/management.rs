//! The management port, for the pod network only: probes, metrics, status, and waking models.
//!
//! On a thread and runtime of its own, so that load on the public port never starves a probe.

mod readiness;
mod status;
mod store_probe;
mod warm;

use std::net::TcpListener;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use tokio_util::sync::CancellationToken;

use crate::audit::Audit;
use crate::config::{ConfigError, RuntimeConfig, SharedRuntime};
use crate::limits::Limiter;
use crate::mailbox::PostOffice;
use crate::metrics::{Metrics, Snapshot};
use crate::models::ModelPool;

pub use readiness::Readiness;
pub use store_probe::{StoreProbe, StoreState};

/// What the port tells about.
#[derive(Default)]
pub struct Management {
    /// Set once the first configuration is in force.
    pub runtime: OnceLock<SharedRuntime>,
    /// Why the newest configuration is not in force; empty when it is.
    pub refused: ArcSwapOption<ConfigError>,
    /// What the newest configuration could be better at.
    pub warnings: ArcSwapOption<Vec<String>>,
    /// Whether state can be kept.
    pub store: StoreState,
    /// What is recorded.
    pub audit: Arc<Audit>,
    /// Whether limits can be counted.
    pub limiter: Option<Arc<Limiter>>,
    /// Whether messages of channels can be kept.
    pub mail: Option<Arc<PostOffice>>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Cancelled when the gateway begins to drain.
    pub shutdown: CancellationToken,
    /// The local models of all configurations, once there are any.
    pub pool: OnceLock<Arc<ModelPool>>,
    /// Set once the gateway was ready for the first time.
    pub was_ready: OnceLock<()>,
}

impl Management {
    /// The configuration in force, once there is one.
    pub fn current(&self) -> Option<Arc<RuntimeConfig>> {
        self.runtime.get().map(|runtime| runtime.load_full())
    }

    /// Where limits are counted and messages are kept, and whether both works.
    fn state(&self) -> Option<(String, bool)> {
        let counting = self.limiter.as_ref().and_then(|limiter| limiter.place());
        let mail = self.mail.as_ref().and_then(|mail| mail.place());
        match (counting, mail) {
            (Some((place, counts)), Some((_, keeps))) => Some((place, counts && keeps)),
            (counting, mail) => counting.or(mail),
        }
    }
}

/// The router of the management port.
pub fn router(management: Arc<Management>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/startupz", get(startup))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/status", get(|State(state): State<Arc<Management>>| async move { Json(status::Status::of(&state)) }))
        .route("/admin/models/{*model}", post(warm::warm))
        .with_state(management)
}

/// Serve the port on a thread of its own, to the end of the process.
pub fn spawn(listener: TcpListener, management: Arc<Management>) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("management".to_owned())
        .spawn(move || {
            let served = runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                axum::serve(listener, router(management)).await
            });
            if let Err(error) = served {
                tracing::error!(%error, "the management port failed");
            }
        })?;
    Ok(())
}

/// For a startup probe: once ready, started for good.
async fn startup(State(management): State<Arc<Management>>) -> Response {
    let readiness = Readiness::of(&management);
    let is_started = management.was_ready.get().is_some();
    respond(is_started, readiness)
}

async fn ready(State(management): State<Arc<Management>>) -> Response {
    let readiness = Readiness::of(&management);
    respond(readiness.ready, readiness)
}

fn respond(is_good: bool, readiness: Readiness) -> Response {
    let status = if is_good {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(readiness)).into_response()
}

async fn metrics(State(management): State<Arc<Management>>) -> Response {
    let runtime = management.current();
    let snapshot = Snapshot {
        runtime: runtime.as_deref(),
        config_refused: management.refused.load().is_some(),
        store_writable: management.store.is_writable(),
        state_available: management.state().map(|(_, works)| works),
        pool: management.pool.get().map(|pool| pool.figures()),
    };
    let sinks = management.audit.sinks();
    management.metrics.audit.sinks.observe(&sinks);
    match management.metrics.encode(&snapshot) {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(CONTENT_TYPE, kind)], text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
