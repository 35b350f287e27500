//! Watches, dispatch and the three controllers, wired together. Runs while this process leads.

mod watches;

use std::{
    convert::Infallible,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use claw_crds::{Channel, ModelRoute};
use futures::{
    FutureExt, StreamExt,
    channel::mpsc::{UnboundedReceiver, unbounded},
    future::BoxFuture,
};
use kube::{
    Resource, ResourceExt,
    runtime::{
        Config, applier,
        controller::{Action, Error as ControllerError},
        reflector::ObjectRef,
    },
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};
use watches::{Senders, watch_all};

use crate::{
    attachment::{self, Attachment},
    cache::{Cache, Cacheable},
    claw_gateway,
    context::Context,
    dispatch::Key,
    error::{Label, chain, is_transient},
    scope::Scope,
    world::Writers,
};

/// So many objects of one kind are worked on at a time; more would only queue at the API server.
const CONCURRENCY: u16 = 16;

/// What the API server calls invalid mostly stays so until somebody changes the object, which wakes us. But an admission
/// policy may change, too, and a certificate fall due: after this time, or up to twice as long, it is tried again.
const LATER: Duration = Duration::from_mins(5);

/// Reconcile until `shutdown`, then finish what is under way.
pub async fn run(
    context: Arc<Context>,
    writers: Writers,
    scope: Scope,
    shutdown: CancellationToken,
) {
    // A predecessor that was cut off left its own there.
    context.metrics.clear_queues();
    let (gateways, gateway_requests) = unbounded();
    let (routes, route_requests) = unbounded();
    let (channels, channel_requests) = unbounded();
    let senders = Senders {
        gateways,
        routes,
        channels,
    };
    // With the senders the queues end, and with the queues the controllers.
    let watching = watch_all(Arc::clone(&context), writers, scope, senders);
    let watching = shutdown.run_until_cancelled_owned(watching);
    let gateways = control(
        Arc::clone(&context),
        context.world.gateways.clone(),
        gateway_requests,
        |gateway, context| claw_gateway::reconcile(gateway, context).boxed(),
    );
    let routes = control_attachments::<ModelRoute>(Arc::clone(&context), route_requests);
    let channels = control_attachments::<Channel>(Arc::clone(&context), channel_requests);
    futures::join!(watching, gateways, routes, channels);
    // What was left in them is another leader's.
    context.metrics.clear_queues();
}

async fn control_attachments<K: Attachment>(
    context: Arc<Context>,
    requests: UnboundedReceiver<Key>,
) {
    let cache = K::cache(&context.world).clone();
    control(context, cache, requests, |object, context| {
        attachment::reconcile::<K>(object, context).boxed()
    })
    .await;
}

type Reconcile<K, E> = fn(Arc<K>, Arc<Context>) -> BoxFuture<'static, Result<Action, E>>;

/// Run one controller until its queue ends.
async fn control<K, E>(
    context: Arc<Context>,
    cache: Cache<K>,
    requests: UnboundedReceiver<Key>,
    reconcile: Reconcile<K, E>,
) where
    K: Cacheable<Kept = K>,
    E: std::error::Error + Label + Send + 'static,
{
    let queue = requests.map(|(namespace, name)| {
        Ok::<_, Infallible>(ObjectRef::<K>::new(&name).within(&namespace))
    });
    let measured = move |object: Arc<K>, context: Arc<Context>| {
        let kind = K::kind(&());
        let place = (object.namespace().unwrap_or_default(), object.name_any());
        context.metrics.taken(&kind, &place);
        let span = tracing::info_span!(
            "reconcile",
            kind = &*kind,
            namespace = place.0,
            name = place.1,
            error.type = tracing::field::Empty,
            otel.status_code = tracing::field::Empty,
        );
        let key = key_of(&*object);
        let work = reconcile(object, Arc::clone(&context));
        measure::<K, E>(context, key, work).instrument(span).boxed()
    };
    let config = Config::default().concurrency(CONCURRENCY);
    let metrics = context.metrics.clone();
    applier(
        measured,
        error_policy,
        context,
        cache.store(),
        queue,
        config,
    )
    .for_each(|outcome| {
        if let Err(ControllerError::ObjectNotFound(object)) = &outcome {
            let place = (
                object.namespace.clone().unwrap_or_default(),
                object.name.clone(),
            );
            metrics.taken(&K::kind(&()), &place);
        }
        log(outcome);
        std::future::ready(())
    })
    .await;
}

async fn measure<K: Resource<DynamicType = ()>, E: Label>(
    context: Arc<Context>,
    key: String,
    work: impl Future<Output = Result<Action, E>>,
) -> Result<Action, E> {
    let started = Instant::now();
    let outcome = work.await;
    let error = outcome.as_ref().err().map(Label::label);
    if let Some(step) = error {
        let span = Span::current();
        span.record("error.type", step);
        span.record("otel.status_code", "ERROR");
    }
    context
        .metrics
        .reconciled(&K::kind(&()), started.elapsed(), error);
    if outcome.is_ok() {
        context.backoff.reset(&key);
    }
    outcome
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the controller hands over its references"
)]
fn error_policy<K, E>(object: Arc<K>, error: &E, context: Arc<Context>) -> Action
where
    K: Cacheable,
    E: std::error::Error + 'static,
{
    Action::requeue(if is_transient(error) {
        context.backoff.next(&key_of(&*object))
    } else {
        LATER.mul_f64(1.0 + rand::random::<f64>())
    })
}

fn key_of<K: Resource<DynamicType = ()>>(object: &K) -> String {
    backoff_key::<K>(&object.namespace().unwrap_or_default(), &object.name_any())
}

fn backoff_key<K: Resource<DynamicType = ()>>(namespace: &str, name: &str) -> String {
    format!("{}/{namespace}/{name}", K::kind(&()))
}

fn log<K, E>(outcome: Result<(ObjectRef<K>, Action), ControllerError<E, Infallible>>)
where
    K: Cacheable,
    E: std::error::Error + 'static,
{
    match outcome {
        Ok(_) => {}
        Err(ControllerError::ReconcilerFailed(error, object)) => {
            tracing::warn!(%object, error = chain(&error), "failed to reconcile");
        }
        // Deleted between the request and now.
        Err(ControllerError::ObjectNotFound(object)) => tracing::debug!(%object, "gone"),
        Err(ControllerError::QueueError(never)) => match never {},
        Err(ControllerError::RunnerError(error)) => {
            tracing::debug!(
                error = chain(&error),
                "the controller stopped before its first list"
            );
        }
    }
}
