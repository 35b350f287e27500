use kube::{core::DeserializeGuard, runtime::watcher::Event as WatchEvent};
use serde_json::json;

use super::*;
use crate::{fixtures, world::Writers};

struct Watched {
    world: World,
    writers: Writers,
    dispatcher: Dispatcher,
    secrets: SecretIndex,
}

impl Watched {
    fn new() -> Self {
        let (world, writers) = World::new();
        Self {
            world,
            writers,
            dispatcher: Dispatcher::default(),
            secrets: SecretIndex::default(),
        }
    }

    fn with_gateway(mut self) -> Self {
        let gateway = DeserializeGuard(Ok(fixtures::gateway(fixtures::MINIMAL)));
        self.writers.gateways.apply(&WatchEvent::Apply(gateway));
        self
    }

    fn with_route(mut self) -> Self {
        self.writers
            .routes
            .apply(&WatchEvent::Apply(route("helpdesk")));
        self
    }

    fn dispatch(&mut self, event: Event) -> Requests {
        self.dispatcher
            .dispatch(event, &self.world, &mut self.secrets)
    }
}

fn route(gateway: &str) -> Guarded<ModelRoute> {
    let mut route = fixtures::route("chat", &json!([{"pattern": "^/", "model": "parrot"}]));
    gateway.clone_into(&mut route.spec.gateway_ref.name);
    DeserializeGuard(Ok(route))
}

fn keys(names: &[&str]) -> Vec<Key> {
    names
        .iter()
        .map(|name| ("shop".to_owned(), (*name).to_owned()))
        .collect()
}

#[test]
fn a_route_wakes_its_gateway_and_itself() {
    let requests = Watched::new().dispatch(Event::Route(Change::Touched(route("helpdesk"))));
    assert_eq!(requests.gateways, keys(&["helpdesk"]));
    assert_eq!(requests.routes, keys(&["chat"]));
}

#[test]
fn a_route_that_moves_wakes_both_gateways() {
    let mut watched = Watched::new();
    watched.dispatch(Event::Route(Change::Touched(route("helpdesk"))));
    let requests = watched.dispatch(Event::Route(Change::Touched(route("phone"))));
    assert_eq!(requests.gateways, keys(&["phone", "helpdesk"]));
}

#[test]
fn a_deleted_gateway_wakes_those_that_name_it() {
    let mut watched = Watched::new().with_gateway().with_route();
    let gateway = DeserializeGuard(Ok(fixtures::gateway(fixtures::MINIMAL)));
    let requests = watched.dispatch(Event::Gateway(Change::Deleted(gateway)));
    assert_eq!(requests.routes, keys(&["chat"]));
    assert_eq!(requests.gone, keys(&["helpdesk"]));
    assert!(requests.gateways.is_empty());
}

#[test]
fn a_child_wakes_its_owner_and_a_strangers_child_nobody() {
    let own = crate::claw_gateway::build::build(&fixtures::validated(fixtures::MINIMAL));
    let metadata = own.deployment.metadata;
    let requests = Watched::new().dispatch(Event::Child(Change::Deleted(metadata.clone())));
    assert_eq!(requests.gateways, keys(&["helpdesk"]));

    let mut foreign = metadata;
    foreign.owner_references.as_mut().expect("an owner")[0].kind = "Toaster".into();
    foreign.labels = None;
    let requests = Watched::new().dispatch(Event::Child(Change::Touched(foreign)));
    assert_eq!(requests, Requests::default());
}

#[test]
fn a_child_without_an_owner_wakes_the_gateway_of_its_labels() {
    let own = crate::claw_gateway::build::build(&fixtures::validated(fixtures::MINIMAL));
    let mut metadata = own.deployment.metadata;
    metadata.owner_references = None;
    let requests = Watched::new().dispatch(Event::Child(Change::Touched(metadata)));
    assert_eq!(requests.gateways, keys(&["helpdesk"]));
}

#[test]
fn a_gateway_that_went_unseen_is_forgotten() {
    let mut watched = Watched::new().with_gateway();
    for gateway in ["helpdesk", "phone"] {
        let usage = crate::secret_index::Usage::default();
        watched.secrets.record("shop", gateway, usage);
    }
    let requests = watched.dispatch(Event::Gateway(Change::Relisted));
    assert_eq!(requests.gone, keys(&["phone"]));
}

#[test]
fn a_secret_wakes_its_readers() {
    let mut watched = Watched::new();
    let gateway = fixtures::gateway(fixtures::FULL);
    let usage = crate::secret_index::Usage::of(&gateway, []);
    watched.secrets.record("shop", "helpdesk", usage);
    let secret: PartialObjectMeta<Secret> = serde_json::from_value(json!({
        "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
        "metadata": {"name": "upstream", "namespace": "shop"},
    }))
    .expect("metadata");
    let requests = watched.dispatch(Event::Secret(Change::Deleted(secret)));
    assert_eq!(requests.gateways, keys(&["helpdesk"]));
}

#[test]
fn a_config_map_wakes_its_readers() {
    let mut watched = Watched::new();
    let usage = crate::secret_index::Usage {
        config_maps: ["callers".to_owned()].into(),
        ..crate::secret_index::Usage::default()
    };
    watched.secrets.record("shop", "helpdesk", usage);
    let map = |name: &str| -> PartialObjectMeta<ConfigMap> {
        serde_json::from_value(json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {"name": name, "namespace": "shop"},
        }))
        .expect("metadata")
    };
    let touched = Event::ConfigMap(Change::Touched(map("callers")));
    assert_eq!(watched.dispatch(touched).gateways, keys(&["helpdesk"]));
    let other = Event::ConfigMap(Change::Deleted(map("other")));
    assert_eq!(watched.dispatch(other), Requests::default());
}

#[test]
fn after_a_fresh_list_everything_is_looked_at() {
    let mut watched = Watched::new().with_gateway().with_route();
    let requests = watched.dispatch(Event::Child(Change::Relisted));
    assert_eq!(requests.gateways, keys(&["helpdesk"]));
    let requests = watched.dispatch(Event::Gateway(Change::Relisted));
    assert_eq!(requests.gateways, keys(&["helpdesk"]));
    assert_eq!(requests.routes, keys(&["chat"]));
}
