//! What is live, as far as we know: what the watch has shown, and what our own writes were answered with.
//!
//! A watch lags behind our writes. Without their echoes, a second reconcile would see the state before its own
//! write and write again.

mod groups;
mod packed;

use std::{
    collections::HashMap,
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use groups::{Entry, Groups};
use kube::{
    Resource,
    runtime::{
        reflector::{ObjectRef, Store, store, store::Writer as StoreWriter},
        watcher::Event,
    },
};
pub use packed::Packed;

/// Kinds that can be kept.
pub trait Cacheable: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static {
    /// The form in which an object is kept.
    type Kept: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static;
    /// Into that form.
    fn keep(&self) -> Self::Kept;
    /// And back.
    fn whole(kept: Arc<Self::Kept>) -> Option<Arc<Self>>;
}

type Echoes<K> = HashMap<ObjectRef<K>, Arc<K>>;
/// Tells the gateway that an object belongs to.
type GatewayOf<K> = fn(&K) -> Option<String>;

/// The live objects of one kind.
#[derive(Clone)]
pub struct Cache<K: Cacheable> {
    store: Store<K::Kept>,
    echoes: Arc<Mutex<Echoes<K>>>,
    groups: Arc<Mutex<Groups>>,
    gateway_of: GatewayOf<K>,
}

/// What the watch of one kind writes to.
pub struct Writer<K: Cacheable> {
    store: StoreWriter<K::Kept>,
    cache: Cache<K>,
}

impl<K: Cacheable> Cache<K> {
    /// An empty cache, and what its watch writes to. `gateway_of` tells the gateway that an object belongs to.
    pub fn new(gateway_of: GatewayOf<K>) -> (Self, Writer<K>) {
        let (reader, store) = store();
        let cache = Self {
            store: reader,
            echoes: Arc::default(),
            groups: Arc::default(),
            gateway_of,
        };
        let writer = Writer {
            store,
            cache: cache.clone(),
        };
        (cache, writer)
    }

    /// What the watch has shown, for the controller to look up its objects.
    pub fn store(&self) -> Store<K::Kept> {
        self.store.clone()
    }

    /// The object as last seen or written.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        let echo = self
            .echoes()
            .get(&ObjectRef::new(name).within(namespace))
            .cloned();
        echo.or_else(|| K::whole(self.seen(namespace, name)?))
    }

    /// Namespace and name of every object that the watch has shown, in no order.
    pub fn keys(&self) -> Vec<(String, String)> {
        let seen = self.store.state().into_iter();
        seen.map(|object| key(&*object)).collect()
    }

    /// What belongs to one gateway, by name. However many others there are, this costs no more.
    pub fn of_gateway(&self, namespace: &str, gateway: &str) -> Vec<Arc<K>> {
        self.of_gateway_but(namespace, gateway, &[])
    }

    /// The same without those of the given names, which are not even looked at.
    pub fn of_gateway_but(&self, namespace: &str, gateway: &str, names: &[String]) -> Vec<Arc<K>> {
        let members = self.groups().members(namespace, gateway);
        let wanted = members.iter().filter(|name| !names.contains(name));
        let objects = wanted.filter_map(|name| self.get(namespace, name));
        objects
            .filter(|object| (self.gateway_of)(object).as_deref() == Some(gateway))
            .collect()
    }

    /// Keep what a write was answered with, until the watch has caught up.
    pub fn remember(&self, written: K) -> Arc<K> {
        let (namespace, name) = key(&written);
        let written = Arc::new(written);
        // The watch may have been faster than the answer.
        let seen = self.seen(&namespace, &name);
        if seen.is_none_or(|seen| is_newer(&*written, &*seen)) {
            self.echoes()
                .insert(ObjectRef::from_obj(&*written), Arc::clone(&written));
            self.groups().put(self.entry(&written));
        }
        written
    }

    /// Forget an object that we deleted.
    pub fn forget(&self, namespace: &str, name: &str) {
        self.echoes()
            .remove(&ObjectRef::new(name).within(namespace));
    }

    /// Resolves once the first list is in: true. False when the watch stopped before.
    pub async fn wait_until_ready(&self) -> bool {
        self.store.wait_until_ready().await.is_ok()
    }

    /// Let go of the echoes that the watch has caught up with, after the store took the event. Tells whether the event
    /// is news: one that shows just what we wrote is not.
    fn observe(&self, event: &Event<K>) -> bool {
        match event {
            Event::Apply(object) | Event::InitApply(object) => {
                let is_ours = self.let_go(object);
                self.groups().put(self.entry(object));
                return !is_ours;
            }
            Event::Delete(object) => {
                self.let_go(object);
                let mut entry = self.entry(object);
                // Unless it has been made anew.
                if self.get(&entry.namespace, &entry.name).is_none() {
                    entry.gateway = None;
                }
                self.groups().put(entry);
            }
            // A fresh list holds everything that was written before it. What was written during it is looked up
            // before it would be created again.
            Event::InitDone => {
                self.echoes().clear();
                let is_there = |namespace: &str, name: &str| self.seen(namespace, name).is_some();
                self.groups().retain(is_there);
            }
            Event::Init => {}
        }
        true
    }

    /// Forget the echo that an event has caught up with. Tells whether the event shows nothing else.
    fn let_go(&self, object: &K) -> bool {
        let key = ObjectRef::from_obj(object);
        let mut echoes = self.echoes();
        let Some(echo) = echoes.get(&key) else {
            return false;
        };
        let is_ours = echo.meta().resource_version == object.meta().resource_version;
        if !is_newer(&**echo, object) {
            echoes.remove(&key);
        }
        is_ours
    }

    fn seen(&self, namespace: &str, name: &str) -> Option<Arc<K::Kept>> {
        self.store.get(&ObjectRef::new(name).within(namespace))
    }

    fn entry(&self, object: &K) -> Entry {
        let (namespace, name) = key(object);
        Entry {
            namespace,
            name,
            gateway: (self.gateway_of)(object),
        }
    }

    fn groups(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn echoes(&self) -> MutexGuard<'_, Echoes<K>> {
        self.echoes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Cacheable> Writer<K> {
    /// Take what the watch tells. Returns whether it is news: what we wrote ourselves is not.
    pub fn apply(&mut self, event: &Event<K>) -> bool {
        self.store.apply_watcher_event(&kept(event));
        self.cache.observe(event)
    }
}

fn kept<K: Cacheable>(event: &Event<K>) -> Event<K::Kept> {
    match event {
        Event::Apply(object) => Event::Apply(object.keep()),
        Event::Delete(object) => Event::Delete(object.keep()),
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(object.keep()),
        Event::InitDone => Event::InitDone,
    }
}

fn key<K: Resource>(object: &K) -> (String, String) {
    let meta = object.meta();
    (
        meta.namespace.clone().unwrap_or_default(),
        meta.name.clone().unwrap_or_default(),
    )
}

/// Whether `left` is a later state than `right`. Resource versions are numbers that grow; one that is not a
/// number counts as old, so that the watch wins.
fn is_newer<L: Resource, R: Resource>(left: &L, right: &R) -> bool {
    let left = version(left.meta().resource_version.as_deref());
    let right = version(right.meta().resource_version.as_deref());
    matches!((left, right), (Some(left), Some(right)) if left > right)
}

fn version(text: Option<&str>) -> Option<u64> {
    text?.parse().ok()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;

    use super::*;

    fn secret(version: &str) -> Secret {
        let mut secret = Secret::default();
        secret.metadata.name = Some("desk-config".into());
        secret.metadata.namespace = Some("shop".into());
        secret.metadata.resource_version = Some(version.into());
        secret
    }

    /// The part of the name before the dash.
    fn gateway_of(secret: &Secret) -> Option<String> {
        let name = secret.metadata.name.as_deref()?;
        Some(name.split_once('-')?.0.to_owned())
    }

    struct Watched {
        cache: Cache<Secret>,
        writer: Writer<Secret>,
    }

    impl Watched {
        fn new() -> Self {
            let (cache, writer) = Cache::new(gateway_of);
            Self { cache, writer }
        }

        fn sees(&mut self, event: &Event<Secret>) -> bool {
            self.writer.apply(event)
        }

        fn version(&self) -> Option<String> {
            let live = self.cache.get("shop", "desk-config")?;
            live.metadata.resource_version.clone()
        }
    }

    #[test]
    fn a_write_is_seen_before_the_watch_shows_it() {
        let watched = Watched::new();
        watched.cache.remember(secret("7"));
        assert_eq!(watched.version().as_deref(), Some("7"));
        assert_eq!(watched.cache.of_gateway("shop", "desk").len(), 1);
    }

    #[test]
    fn a_gateway_has_its_own_objects_and_those_that_are_there() {
        let mut watched = Watched::new();
        let called = |name: &str, version: &str| {
            let mut secret = secret(version);
            secret.metadata.name = Some(name.into());
            secret
        };
        watched.sees(&Event::Apply(called("desk-config", "1")));
        watched.sees(&Event::Apply(called("desk-tls", "2")));
        watched.sees(&Event::Apply(called("phone-tls", "3")));
        let names = |watched: &Watched| {
            let objects = watched.cache.of_gateway("shop", "desk");
            let mut names: Vec<_> = objects
                .iter()
                .filter_map(|object| object.metadata.name.clone())
                .collect();
            names.sort();
            names
        };
        assert_eq!(names(&watched), ["desk-config", "desk-tls"]);
        watched.sees(&Event::Delete(called("desk-tls", "4")));
        assert_eq!(names(&watched), ["desk-config"]);
        watched.sees(&Event::Init);
        watched.sees(&Event::InitApply(called("desk-ca", "5")));
        watched.sees(&Event::InitDone);
        assert_eq!(names(&watched), ["desk-ca"]);
        assert!(watched.cache.of_gateway("shop", "phone").is_empty());
    }

    #[test]
    fn our_own_write_is_no_news_and_any_other_is() {
        let mut watched = Watched::new();
        assert!(watched.sees(&Event::Apply(secret("6"))));
        watched.cache.remember(secret("7"));
        assert!(!watched.sees(&Event::Apply(secret("7"))));
        // Listed anew, it may have been told differently before.
        assert!(watched.sees(&Event::Apply(secret("7"))));
        watched.cache.remember(secret("8"));
        assert!(watched.sees(&Event::Apply(secret("9"))));
        assert!(watched.sees(&Event::Delete(secret("10"))));
    }

    #[test]
    fn an_older_event_does_not_hide_the_write() {
        let mut watched = Watched::new();
        watched.cache.remember(secret("7"));
        watched.sees(&Event::Apply(secret("6")));
        assert_eq!(watched.version().as_deref(), Some("7"));
        assert_eq!(watched.cache.of_gateway("shop", "desk").len(), 1);
    }

    #[test]
    fn a_newer_event_replaces_the_write() {
        let mut watched = Watched::new();
        watched.cache.remember(secret("7"));
        watched.sees(&Event::Apply(secret("10")));
        assert_eq!(watched.version().as_deref(), Some("10"));
    }

    #[test]
    fn an_answer_that_comes_after_its_event_changes_nothing() {
        let mut watched = Watched::new();
        watched.sees(&Event::Apply(secret("9")));
        watched.cache.remember(secret("7"));
        assert_eq!(watched.version().as_deref(), Some("9"));
    }

    #[test]
    fn a_deletion_takes_the_write_along() {
        let mut watched = Watched::new();
        watched.cache.remember(secret("7"));
        watched.sees(&Event::Delete(secret("8")));
        assert_eq!(watched.version(), None);
    }

    #[test]
    fn a_fresh_list_replaces_everything() {
        let mut watched = Watched::new();
        watched.cache.remember(secret("7"));
        watched.sees(&Event::Init);
        watched.sees(&Event::InitDone);
        assert_eq!(watched.version(), None);
    }
}
