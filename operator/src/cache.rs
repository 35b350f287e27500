//! What is live, as far as we know: what the watch has shown, and what our own writes were answered with.
//!
//! A watch lags behind our writes. Without their echoes, a second reconcile would see the state before its own
//! write and write again.

use std::{
    collections::HashMap,
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kube::{
    Resource,
    runtime::{
        reflector::{ObjectRef, Store, store, store::Writer},
        watcher::Event,
    },
};

/// Kinds that can be kept.
pub trait Cacheable: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static {}
impl<K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static> Cacheable for K {}

type Echoes<K> = HashMap<ObjectRef<K>, Arc<K>>;

/// The live objects of one kind.
#[derive(Clone)]
pub struct Cache<K: Cacheable> {
    store: Store<K>,
    echoes: Arc<Mutex<Echoes<K>>>,
}

impl<K: Cacheable> Cache<K> {
    /// An empty cache, and what its watch writes to.
    pub fn new() -> (Self, Writer<K>) {
        let (store, writer) = store();
        let echoes = Arc::default();
        (Self { store, echoes }, writer)
    }

    /// What the watch has shown, for the controller to look up its objects.
    pub fn store(&self) -> Store<K> {
        self.store.clone()
    }

    /// The object as last seen or written.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        let key = ObjectRef::new(name).within(namespace);
        self.echoes()
            .get(&key)
            .cloned()
            .or_else(|| self.store.get(&key))
    }

    /// All objects that `wanted` picks, in no order.
    pub fn list(&self, wanted: impl Fn(&K) -> bool) -> Vec<Arc<K>> {
        let echoes = self.echoes();
        let seen = self
            .store
            .state()
            .into_iter()
            .filter(|object| !echoes.contains_key(&ObjectRef::from_obj(object.as_ref())));
        seen.chain(echoes.values().cloned())
            .filter(|object| wanted(object))
            .collect()
    }

    /// Keep what a write was answered with, until the watch has caught up.
    pub fn remember(&self, written: K) -> Arc<K> {
        let key = ObjectRef::from_obj(&written);
        let written = Arc::new(written);
        // The watch may have been faster than the answer.
        let seen = self.store.get(&key);
        if seen.is_none_or(|seen| is_newer(&*written, &*seen)) {
            self.echoes().insert(key, Arc::clone(&written));
        }
        written
    }

    /// Forget an object that we deleted.
    pub fn forget(&self, namespace: &str, name: &str) {
        self.echoes()
            .remove(&ObjectRef::new(name).within(namespace));
    }

    /// Let go of the echoes that the watch has caught up with; to be called after the store took the event.
    pub fn observe(&self, event: &Event<K>) {
        match event {
            Event::Apply(object) | Event::Delete(object) => {
                let key = ObjectRef::from_obj(object);
                let mut echoes = self.echoes();
                if echoes
                    .get(&key)
                    .is_some_and(|echo| !is_newer(&**echo, object))
                {
                    echoes.remove(&key);
                }
            }
            // A fresh list holds everything that was written before it. What was written during it is looked up
            // before it would be created again.
            Event::InitDone => self.echoes().clear(),
            Event::Init | Event::InitApply(_) => {}
        }
    }

    /// Resolves once the first list is in: true. False when the watch stopped before.
    pub async fn wait_until_ready(&self) -> bool {
        self.store.wait_until_ready().await.is_ok()
    }

    fn echoes(&self) -> MutexGuard<'_, Echoes<K>> {
        self.echoes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether `left` is a later state than `right`. Resource versions are numbers that grow; one that is not a
/// number counts as old, so that the watch wins.
fn is_newer<K: Resource>(left: &K, right: &K) -> bool {
    let version =
        |object: &K| -> Option<u64> { object.meta().resource_version.as_deref()?.parse().ok() };
    matches!((version(left), version(right)), (Some(left), Some(right)) if left > right)
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

    struct Watched {
        cache: Cache<Secret>,
        writer: Writer<Secret>,
    }

    impl Watched {
        fn new() -> Self {
            let (cache, writer) = Cache::new();
            Self { cache, writer }
        }

        fn sees(&mut self, event: &Event<Secret>) {
            self.writer.apply_watcher_event(event);
            self.cache.observe(event);
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
        assert_eq!(watched.cache.list(|_| true).len(), 1);
    }

    #[test]
    fn an_older_event_does_not_hide_the_write() {
        let mut watched = Watched::new();
        watched.cache.remember(secret("7"));
        watched.sees(&Event::Apply(secret("6")));
        assert_eq!(watched.version().as_deref(), Some("7"));
        assert_eq!(watched.cache.list(|_| true).len(), 1);
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
