//! Watches, dispatch and the three controllers, wired together. Runs while this process leads.

use std::{convert::Infallible, future::Future, sync::Arc, time::Instant};

use claw_crds::{Channel, ClawGateway, ModelRoute};
use futures::{
    FutureExt, Stream, StreamExt,
    channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded},
    future::BoxFuture,
    stream::{BoxStream, select_all},
};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Resource, ResourceExt,
    core::PartialObjectMeta,
    runtime::{
        Config, applier,
        controller::{Action, Error as ControllerError},
        reflector::{ObjectRef, store::Writer},
        watcher,
    },
};
use tokio_util::sync::CancellationToken;

use crate::{
    attachment::{self, Attachment},
    cache::{Cache, Cacheable},
    claw_gateway,
    context::Context,
    dispatch::{Dispatcher, Event, Key, Requests},
    error::{Label, chain, is_transient},
    labels,
    scope::Scope,
    watch::{Change, watch, watch_only},
    world::{Child, Guarded, Writers},
};

/// So many objects of one kind are worked on at a time; more would only queue at the API server.
const CONCURRENCY: u16 = 16;

/// Reconcile until `shutdown`, then finish what is under way.
pub async fn run(
    context: Arc<Context>,
    writers: Writers,
    scope: Scope,
    shutdown: CancellationToken,
) {
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
}

struct Senders {
    gateways: UnboundedSender<Key>,
    routes: UnboundedSender<Key>,
    channels: UnboundedSender<Key>,
}

async fn watch_all(context: Arc<Context>, writers: Writers, scope: Scope, senders: Senders) {
    let mut events = select_all(streams(&context, writers, &scope));
    let mut dispatcher = Dispatcher::default();
    while let Some(event) = events.next().await {
        let requests = {
            let mut secrets = context.secret_index();
            dispatcher.dispatch(event, &context.world, &mut secrets)
        };
        send(requests, &senders, &context);
    }
}

fn send(requests: Requests, senders: &Senders, context: &Context) {
    let Requests {
        gateways,
        routes,
        channels,
        gone,
    } = requests;
    for (namespace, gateway) in gone {
        context.secret_index().forget(&namespace, &gateway);
        context
            .metrics
            .set_certificate_expiry(&namespace, &gateway, None);
        context
            .backoff
            .reset(&backoff_key::<ClawGateway>(&namespace, &gateway));
    }
    let deliver = |keys: Vec<Key>, sender: &UnboundedSender<Key>| {
        for key in keys {
            // A closed queue means that we are stopping.
            let _ = sender.unbounded_send(key);
        }
    };
    deliver(gateways, &senders.gateways);
    deliver(routes, &senders.routes);
    deliver(channels, &senders.channels);
}

fn streams(context: &Context, writers: Writers, scope: &Scope) -> Vec<BoxStream<'static, Event>> {
    let Writers {
        gateways,
        routes,
        channels,
        service_accounts,
        roles,
        role_bindings,
        secrets,
        services,
        deployments,
        autoscalers,
        disruption_budgets,
    } = writers;
    let world = &context.world;
    let secret_metadata = watch_only::<PartialObjectMeta<Secret>>(
        scope.api(&context.client),
        watcher::Config::default(),
        &context.metrics,
    );
    vec![
        own(context, scope, &world.gateways, gateways)
            .map(Event::Gateway)
            .boxed(),
        own(context, scope, &world.routes, routes)
            .map(Event::Route)
            .boxed(),
        own(context, scope, &world.channels, channels)
            .map(Event::Channel)
            .boxed(),
        secret_metadata.map(Event::Secret).boxed(),
        children(context, scope, service_accounts),
        children(context, scope, roles),
        children(context, scope, role_bindings),
        children(context, scope, secrets),
        children(context, scope, services),
        children(context, scope, deployments),
        children(context, scope, autoscalers),
        children(context, scope, disruption_budgets),
    ]
}

fn own<K>(
    context: &Context,
    scope: &Scope,
    cache: &Cache<Guarded<K>>,
    writer: Writer<Guarded<K>>,
) -> impl Stream<Item = Change<Guarded<K>>> + Send + use<K>
where
    K: crate::report::Reported,
{
    watch(
        scope.api(&context.client),
        watcher::Config::default(),
        (cache.clone(), writer),
        &context.metrics,
    )
}

fn children<K: Child>(
    context: &Context,
    scope: &Scope,
    writer: Writer<K>,
) -> BoxStream<'static, Event> {
    let changes = watch(
        scope.api(&context.client),
        watcher::Config::default().labels(labels::CHILDREN),
        (K::cache(&context.world.children).clone(), writer),
        &context.metrics,
    );
    let meta = |mut object: K| std::mem::take(object.meta_mut());
    changes
        .map(move |change| {
            Event::Child(match change {
                Change::Touched(object) => Change::Touched(meta(object)),
                Change::Deleted(object) => Change::Deleted(meta(object)),
                Change::Relisted => Change::Relisted,
            })
        })
        .boxed()
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
    K: Cacheable,
    E: std::error::Error + Label + Send + 'static,
{
    let queue = requests.map(|(namespace, name)| {
        Ok::<_, Infallible>(ObjectRef::<K>::new(&name).within(&namespace))
    });
    let measured = move |object: Arc<K>, context: Arc<Context>| {
        let key = key_of(&*object);
        let work = reconcile(object, Arc::clone(&context));
        measure::<K, E>(context, key, work).boxed()
    };
    let config = Config::default().concurrency(CONCURRENCY);
    applier(
        measured,
        error_policy,
        context,
        cache.store(),
        queue,
        config,
    )
    .for_each(|outcome| {
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
    if is_transient(error) {
        Action::requeue(context.backoff.next(&key_of(&*object)))
    } else {
        Action::await_change()
    }
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
