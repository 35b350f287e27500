//! Every kind that the operator watches, with what is known of it.

use std::sync::Arc;

use claw_crds::{Channel, ClawGateway, ModelRoute};
use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount},
    networking::v1::{Ingress, NetworkPolicy},
    policy::v1::PodDisruptionBudget,
    rbac::v1::{Role, RoleBinding},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource as _, core::DeserializeGuard};

use crate::{
    attachment::Attachment,
    cache::{Cache, Cacheable, Packed, Writer},
    kinds::{Certificate, HttpRoute, Kinds, PodMonitor, PrometheusRule},
    labels,
    names::GatewayName,
    report::Reported,
};

/// Our own kinds: one object that cannot be read must not stop the watch of the others.
pub type Guarded<K> = DeserializeGuard<K>;

/// What is known of every kind.
#[derive(Clone)]
pub struct World {
    /// Gateways.
    pub gateways: Cache<Guarded<ClawGateway>>,
    /// Routes.
    pub routes: Cache<Guarded<ModelRoute>>,
    /// Channels.
    pub channels: Cache<Guarded<Channel>>,
    /// The gateways' pods, without their specs.
    pub pods: Cache<Pod>,
    /// Which kinds the cluster has.
    pub kinds: Kinds,
    /// What the gateways own.
    pub children: Children,
}

/// What is known of the gateways' children.
#[derive(Clone)]
pub struct Children {
    /// ServiceAccounts.
    pub service_accounts: Cache<ServiceAccount>,
    /// Roles.
    pub roles: Cache<Role>,
    /// RoleBindings.
    pub role_bindings: Cache<RoleBinding>,
    /// Configuration, authority and certificate; not the Secrets of users.
    pub secrets: Cache<Secret>,
    /// Services.
    pub services: Cache<Service>,
    /// Deployments.
    pub deployments: Cache<Deployment>,
    /// HorizontalPodAutoscalers.
    pub autoscalers: Cache<HorizontalPodAutoscaler>,
    /// PodDisruptionBudgets.
    pub disruption_budgets: Cache<PodDisruptionBudget>,
    /// NetworkPolicies.
    pub network_policies: Cache<NetworkPolicy>,
    /// PersistentVolumeClaims.
    pub volume_claims: Cache<PersistentVolumeClaim>,
    /// ConfigMaps.
    pub config_maps: Cache<ConfigMap>,
    /// Ingresses.
    pub ingresses: Cache<Ingress>,
    /// PodMonitors, where the cluster has them.
    pub pod_monitors: Cache<PodMonitor>,
    /// PrometheusRules, where the cluster has them.
    pub prometheus_rules: Cache<PrometheusRule>,
    /// HTTPRoutes, where the cluster has them.
    pub http_routes: Cache<HttpRoute>,
    /// Certificates, where the cluster has them.
    pub certificates: Cache<Certificate>,
}

/// What the watches write to, field by field as in [`World`] and [`Children`].
#[expect(missing_docs, reason = "the fields are those of World and Children")]
pub struct Writers {
    pub gateways: Writer<Guarded<ClawGateway>>,
    pub routes: Writer<Guarded<ModelRoute>>,
    pub channels: Writer<Guarded<Channel>>,
    pub pods: Writer<Pod>,
    pub service_accounts: Writer<ServiceAccount>,
    pub roles: Writer<Role>,
    pub role_bindings: Writer<RoleBinding>,
    pub secrets: Writer<Secret>,
    pub services: Writer<Service>,
    pub deployments: Writer<Deployment>,
    pub autoscalers: Writer<HorizontalPodAutoscaler>,
    pub disruption_budgets: Writer<PodDisruptionBudget>,
    pub network_policies: Writer<NetworkPolicy>,
    pub volume_claims: Writer<PersistentVolumeClaim>,
    pub config_maps: Writer<ConfigMap>,
    pub ingresses: Writer<Ingress>,
    pub pod_monitors: Writer<PodMonitor>,
    pub prometheus_rules: Writer<PrometheusRule>,
    pub http_routes: Writer<HttpRoute>,
    pub certificates: Writer<Certificate>,
}

impl World {
    /// Nothing is known yet.
    pub fn new() -> (Self, Writers) {
        let (gateways, gateways_writer) = Cache::new(|_| None);
        let (routes, routes_writer) = Cache::new(attached_to);
        let (channels, channels_writer) = Cache::new(attached_to);
        let (pods, pods_writer) = Cache::new(gateway_of);
        let (service_accounts, service_accounts_writer) = Cache::new(gateway_of);
        let (roles, roles_writer) = Cache::new(gateway_of);
        let (role_bindings, role_bindings_writer) = Cache::new(gateway_of);
        let (secrets, secrets_writer) = Cache::new(gateway_of);
        let (services, services_writer) = Cache::new(gateway_of);
        let (deployments, deployments_writer) = Cache::new(gateway_of);
        let (autoscalers, autoscalers_writer) = Cache::new(gateway_of);
        let (disruption_budgets, disruption_budgets_writer) = Cache::new(gateway_of);
        let (network_policies, network_policies_writer) = Cache::new(gateway_of);
        let (volume_claims, volume_claims_writer) = Cache::new(gateway_of);
        let (config_maps, config_maps_writer) = Cache::new(gateway_of);
        let (ingresses, ingresses_writer) = Cache::new(gateway_of);
        let (pod_monitors, pod_monitors_writer) = Cache::new(gateway_of);
        let (prometheus_rules, prometheus_rules_writer) = Cache::new(gateway_of);
        let (http_routes, http_routes_writer) = Cache::new(gateway_of);
        let (certificates, certificates_writer) = Cache::new(gateway_of);
        let world = Self {
            gateways,
            routes,
            channels,
            pods,
            kinds: Kinds::default(),
            children: Children {
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
            },
        };
        let writers = Writers {
            gateways: gateways_writer,
            routes: routes_writer,
            channels: channels_writer,
            pods: pods_writer,
            service_accounts: service_accounts_writer,
            roles: roles_writer,
            role_bindings: role_bindings_writer,
            secrets: secrets_writer,
            services: services_writer,
            deployments: deployments_writer,
            autoscalers: autoscalers_writer,
            disruption_budgets: disruption_budgets_writer,
            network_policies: network_policies_writer,
            volume_claims: volume_claims_writer,
            config_maps: config_maps_writer,
            ingresses: ingresses_writer,
            pod_monitors: pod_monitors_writer,
            prometheus_rules: prometheus_rules_writer,
            http_routes: http_routes_writer,
            certificates: certificates_writer,
        };
        (world, writers)
    }

    /// Resolves once every kind has been listed: true. Before that, what is missing may only be unseen. False when
    /// the watches stopped before.
    pub async fn wait_until_ready(&self) -> bool {
        let Self {
            gateways,
            routes,
            channels,
            pods,
            kinds,
            children,
        } = self;
        let Children {
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
            // Never listed where there is no such kind; what they lack is looked up.
            pod_monitors: _,
            prometheus_rules: _,
            http_routes: _,
            certificates: _,
        } = children;
        kinds.wait_until_known().await;
        gateways.wait_until_ready().await
            && routes.wait_until_ready().await
            && channels.wait_until_ready().await
            && pods.wait_until_ready().await
            && service_accounts.wait_until_ready().await
            && roles.wait_until_ready().await
            && role_bindings.wait_until_ready().await
            && secrets.wait_until_ready().await
            && services.wait_until_ready().await
            && deployments.wait_until_ready().await
            && autoscalers.wait_until_ready().await
            && disruption_budgets.wait_until_ready().await
            && network_policies.wait_until_ready().await
            && volume_claims.wait_until_ready().await
            && config_maps.wait_until_ready().await
            && ingresses.wait_until_ready().await
    }
}

/// The gateway that a route or channel names, where it can be read.
fn attached_to<K: Attachment>(object: &Guarded<K>) -> Option<String> {
    let object = object.0.as_ref().ok()?;
    Some(object.gateway().to_owned())
}

/// The gateway that something belongs to.
fn gateway_of<K: kube::ResourceExt>(object: &K) -> Option<String> {
    belongs_to(object.meta())
}

/// The gateway that owns an object, or where no gateway does, the one that its labels name: what outlives its gateway
/// has no owner, nor have pods as we keep them.
pub fn belongs_to(object: &ObjectMeta) -> Option<String> {
    if let Some(owner) = owner(object) {
        return Some(owner.to_owned());
    }
    let labels = object.labels.as_ref()?;
    labels::gateway_of(labels).map(str::to_owned)
}

/// The gateway that an object names as its owner.
pub fn owner(object: &ObjectMeta) -> Option<&str> {
    let mut owners = object.owner_references.iter().flatten();
    let owner = owners.find(|owner| {
        owner.kind == ClawGateway::kind(&()) && owner.api_version == ClawGateway::api_version(&())
    })?;
    Some(&owner.name)
}

/// Our own kinds are kept as they are, since the controllers look at them all the time.
impl<K: Reported> Cacheable for Guarded<K> {
    type Kept = Self;

    fn keep(&self) -> Self {
        self.clone()
    }

    fn whole(kept: Arc<Self>) -> Option<Arc<Self>> {
        Some(kept)
    }
}

/// All others are many, and large.
macro_rules! packed {
    ($($kind:ty),* $(,)?) => {$(
        impl Cacheable for $kind {
            type Kept = Packed<Self>;

            fn keep(&self) -> Packed<Self> {
                Packed::pack(self)
            }

            fn whole(kept: Arc<Packed<Self>>) -> Option<Arc<Self>> {
                kept.unpack()
            }
        }
    )*};
}

packed![
    Certificate,
    ConfigMap,
    Deployment,
    HorizontalPodAutoscaler,
    HttpRoute,
    Ingress,
    NetworkPolicy,
    PersistentVolumeClaim,
    Pod,
    PodDisruptionBudget,
    PodMonitor,
    PrometheusRule,
    Role,
    RoleBinding,
    Secret,
    Service,
    ServiceAccount,
];

/// Kinds that a gateway owns.
pub trait Child:
    crate::cache::Cacheable
    + kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
    + serde::Serialize
    + serde::de::DeserializeOwned
{
    /// Where its kind is kept.
    fn cache(children: &Children) -> &Cache<Self>;

    /// Whether a live object that the gateway does not own may become its own nevertheless.
    fn is_taken_over(_live: &Self, _gateway: &GatewayName) -> bool {
        false
    }
}

impl Child for PersistentVolumeClaim {
    fn cache(children: &Children) -> &Cache<Self> {
        &children.volume_claims
    }

    /// One that an earlier gateway of that name has left has our labels, and no owner.
    fn is_taken_over(live: &Self, gateway: &GatewayName) -> bool {
        let labels = live.metadata.labels.as_ref();
        live.metadata
            .owner_references
            .iter()
            .flatten()
            .next()
            .is_none()
            && labels.and_then(labels::gateway_of) == Some(gateway.as_str())
    }
}

macro_rules! child {
    ($($kind:ty => $field:ident),* $(,)?) => {$(
        impl Child for $kind {
            fn cache(children: &Children) -> &Cache<Self> {
                &children.$field
            }
        }
    )*};
}

child! {
    ServiceAccount => service_accounts,
    Role => roles,
    RoleBinding => role_bindings,
    Secret => secrets,
    Service => services,
    Deployment => deployments,
    HorizontalPodAutoscaler => autoscalers,
    PodDisruptionBudget => disruption_budgets,
    NetworkPolicy => network_policies,
    ConfigMap => config_maps,
    Ingress => ingresses,
    PodMonitor => pod_monitors,
    PrometheusRule => prometheus_rules,
    HttpRoute => http_routes,
    Certificate => certificates,
}
