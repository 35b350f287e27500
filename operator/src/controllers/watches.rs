//! One watch a kind, and from each change to the queues.

use std::sync::Arc;

use claw_crds::{Channel, ClawGateway, ModelRoute};
use futures::{
    Stream, StreamExt,
    channel::mpsc::UnboundedSender,
    stream::{self, BoxStream, select_all},
};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::{Resource, core::PartialObjectMeta, runtime::watcher};

use crate::{
    cache::Writer,
    context::Context,
    dispatch::{Dispatcher, Event, Key, Requests},
    drift,
    kinds::{self, OptionalKind},
    labels,
    report::Reported,
    scope::Scope,
    watch::{Change, Tell, watch, watch_only},
    world::{Child, Guarded, Writers, owner},
};

/// The queues of the controllers.
pub(super) struct Senders {
    pub(super) gateways: UnboundedSender<Key>,
    pub(super) routes: UnboundedSender<Key>,
    pub(super) channels: UnboundedSender<Key>,
}

/// Watch every kind and ask the controllers for what each change concerns. Never ends.
pub(super) async fn watch_all(
    context: Arc<Context>,
    writers: Writers,
    scope: Scope,
    senders: Senders,
) {
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
        context.pod_reports.forget(&namespace, &gateway);
        context
            .metrics
            .set_certificate_expiry(&namespace, &gateway, None);
        context
            .backoff
            .reset(&super::backoff_key::<ClawGateway>(&namespace, &gateway));
    }
    let deliver = |kind: &str, keys: Vec<Key>, sender: &UnboundedSender<Key>| {
        for key in keys {
            context.metrics.queued(kind, key.clone());
            // A closed queue means that we are stopping.
            let _ = sender.unbounded_send(key);
        }
    };
    deliver(&ClawGateway::kind(&()), gateways, &senders.gateways);
    deliver(&ModelRoute::kind(&()), routes, &senders.routes);
    deliver(&Channel::kind(&()), channels, &senders.channels);
}

fn streams(context: &Context, writers: Writers, scope: &Scope) -> Vec<BoxStream<'static, Event>> {
    let Writers {
        gateways,
        routes,
        channels,
        pods,
        service_accounts,
        roles,
        role_bindings,
        secrets,
        services,
        deployments,
        autoscalers,
        disruption_budgets,
        network_policies,
        volume_claims,
        config_maps,
        ingresses,
        pod_monitors,
        prometheus_rules,
        http_routes,
        certificates,
    } = writers;
    let secret_metadata = watch_only::<PartialObjectMeta<Secret>>(
        scope.api(&context.client),
        watcher::Config::default(),
        &context.metrics,
    );
    let map_metadata = watch_only::<PartialObjectMeta<ConfigMap>>(
        scope.api(&context.client),
        watcher::Config::default(),
        &context.metrics,
    );
    vec![
        own(context, scope, gateways).map(Event::Gateway).boxed(),
        own(context, scope, routes).map(Event::Route).boxed(),
        own(context, scope, channels).map(Event::Channel).boxed(),
        secret_metadata.map(Event::Secret).boxed(),
        map_metadata.map(Event::ConfigMap).boxed(),
        watch_pods(context, scope, pods),
        children(context, scope, service_accounts),
        children(context, scope, roles),
        children(context, scope, role_bindings),
        children_trimmed(context, scope, secrets, trim_secret),
        children(context, scope, services),
        children(context, scope, deployments),
        children(context, scope, autoscalers),
        children(context, scope, disruption_budgets),
        children(context, scope, network_policies),
        children(context, scope, volume_claims),
        children(context, scope, config_maps),
        children(context, scope, ingresses),
        while_served(
            context,
            OptionalKind::PodMonitor,
            children(context, scope, pod_monitors),
        ),
        while_served(
            context,
            OptionalKind::PrometheusRule,
            children(context, scope, prometheus_rules),
        ),
        while_served(
            context,
            OptionalKind::HttpRoute,
            children(context, scope, http_routes),
        ),
        while_served(
            context,
            OptionalKind::Certificate,
            children(context, scope, certificates),
        ),
        // A kind that came or went may concern every gateway.
        kinds::discover(context.client.clone(), context.world.kinds.clone())
            .map(|()| Event::Child(Change::Relisted))
            .boxed(),
    ]
}

fn own<K>(
    context: &Context,
    scope: &Scope,
    writer: Writer<Guarded<K>>,
) -> impl Stream<Item = Change<Guarded<K>>> + Send + use<K>
where
    K: Reported,
{
    watch(
        scope.api(&context.client),
        watcher::Config::default(),
        writer,
        |object| object.meta_mut().managed_fields = None,
        // Where two write one status, the write of each wakes the other.
        Tell::All,
        &context.metrics,
    )
}

fn children<K: Child>(
    context: &Context,
    scope: &Scope,
    writer: Writer<K>,
) -> BoxStream<'static, Event> {
    children_trimmed(context, scope, writer, |child| {
        drift::trim(child.meta_mut());
    })
}

/// Anybody can label a Secret as ours. Of one that no gateway owns, it is enough to know that it is there.
fn trim_secret(secret: &mut Secret) {
    drift::trim(&mut secret.metadata);
    if owner(&secret.metadata).is_none() {
        secret.data = None;
    }
}

fn children_trimmed<K: Child>(
    context: &Context,
    scope: &Scope,
    writer: Writer<K>,
    trim: fn(&mut K),
) -> BoxStream<'static, Event> {
    let changes = watch(
        scope.api(&context.client),
        watcher::Config::default().labels(labels::CHILDREN),
        writer,
        trim,
        Tell::Foreign,
        &context.metrics,
    );
    as_children(changes)
}

/// What keeps a pod from serving is told in its gateway's status.
fn watch_pods(context: &Context, scope: &Scope, writer: Writer<Pod>) -> BoxStream<'static, Event> {
    as_children(watch(
        scope.api(&context.client),
        watcher::Config::default().labels(labels::PODS),
        writer,
        trim_pod,
        Tell::Foreign,
        &context.metrics,
    ))
}

/// Pods are many, and large; what is read of them is little.
fn trim_pod(pod: &mut Pod) {
    pod.spec = None;
    pod.metadata.managed_fields = None;
    pod.metadata.annotations = None;
    // They belong to a ReplicaSet, which says nothing of the gateway; their labels do.
    pod.metadata.owner_references = None;
}

/// What a watch tells while the cluster has its kind. Without it the watch rests, and makes no requests.
fn while_served(
    context: &Context,
    kind: OptionalKind,
    changes: BoxStream<'static, Event>,
) -> BoxStream<'static, Event> {
    let kinds = context.world.kinds.clone();
    stream::unfold((kinds, changes), move |(kinds, mut changes)| async move {
        loop {
            kinds.wait_until(kind, true).await;
            tokio::select! {
                change = changes.next() => return change.map(|change| (change, (kinds, changes))),
                () = kinds.wait_until(kind, false) => {}
            }
        }
    })
    .boxed()
}

fn as_children<K: Resource>(
    changes: impl Stream<Item = Change<K>> + Send + 'static,
) -> BoxStream<'static, Event> {
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
