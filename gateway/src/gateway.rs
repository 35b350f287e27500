//! `clawdbot gateway`: from flags to a running gateway, and to its end.
//!
//! The order matters: everything that can be wrong is checked before a port is opened, and ports before models load.

mod listeners;
mod plan;
mod serve;

use std::sync::Arc;
use std::time::Duration;

use crate::args::{Environment, GatewayArgs};
use crate::config::chain;
use crate::exit::Failure;
use crate::telemetry::{self, Telemetry};
use listeners::Listeners;
use plan::Plan;
use serve::Parts;

/// A model that is idle ends within a millisecond; more is for one that was just used or is still loading.
const PATIENCE_WITH_MODELS: Duration = Duration::from_secs(1);

/// Run a gateway to its end.
pub fn run(args: GatewayArgs, environment: Environment) -> Result<(), Failure> {
    let telemetry = telemetry::init(args.log_format, args.verbose)
        .map_err(|error| Failure::Usage(chain(&error)))?;
    let outcome = serve(args, environment, &telemetry);
    telemetry.finish();
    outcome
}

fn serve(
    args: GatewayArgs,
    environment: Environment,
    telemetry: &Telemetry,
) -> Result<(), Failure> {
    let plan = Plan::new(args, environment)?;
    // Chosen once for all of TLS; a second choice would come from us and be the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let first = plan.first_draft()?;
    let listeners = Listeners::open(&plan)?;
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = plan.max_workers {
        builder.worker_threads(workers.get());
    }
    let runtime = builder
        .enable_all()
        .thread_name("gateway")
        .build()
        .map_err(|error| Failure::Internal(format!("failed to start threads: {error}")))?;
    let outcome = runtime.block_on(async {
        Parts::new(Arc::new(plan), first, telemetry)?
            .serve(listeners)
            .await
    });
    // A model that is loading on a blocking thread cannot be interrupted, and must not be waited for.
    runtime.shutdown_background();
    claw_inference::wait_for_models(PATIENCE_WITH_MODELS);
    outcome
}
