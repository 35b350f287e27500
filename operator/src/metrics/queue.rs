//! Which objects wait for a reconcile. A set, not a count: an object that changes ten times waits once.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prometheus_client::metrics::family::Family;

use super::{IntGauge, Kind};
use crate::dispatch::Key;

type Waiting = HashMap<String, HashSet<Key>>;

/// The waiting objects of each kind; clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Queues {
    waiting: Arc<Mutex<Waiting>>,
    pub(super) depths: Family<Kind, IntGauge>,
}

impl Queues {
    pub(super) fn put(&self, kind: &str, key: Key) {
        let mut waiting = self.lock();
        let of_kind = waiting.entry(kind.to_owned()).or_default();
        of_kind.insert(key);
        self.tell(kind, of_kind.len());
    }

    pub(super) fn take(&self, kind: &str, key: &Key) {
        let mut waiting = self.lock();
        let of_kind = waiting.entry(kind.to_owned()).or_default();
        of_kind.remove(key);
        self.tell(kind, of_kind.len());
    }

    pub(super) fn clear(&self) {
        let mut waiting = self.lock();
        for (kind, of_kind) in waiting.iter_mut() {
            of_kind.clear();
            self.tell(kind, 0);
        }
    }

    fn tell(&self, kind: &str, depth: usize) {
        let kind = kind.to_owned();
        let depth = i64::try_from(depth).unwrap_or(i64::MAX);
        self.depths.get_or_create(&Kind { kind }).set(depth);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_waits_once_however_often_it_changes() {
        let queues = Queues::default();
        let key = |name: &str| ("shop".to_owned(), name.to_owned());
        let depth = || {
            let kind = "ClawGateway".to_owned();
            queues.depths.get_or_create(&Kind { kind }).get()
        };
        queues.put("ClawGateway", key("desk"));
        queues.put("ClawGateway", key("desk"));
        queues.put("ClawGateway", key("till"));
        queues.put("Channel", key("desk"));
        assert_eq!(depth(), 2);
        queues.take("ClawGateway", &key("desk"));
        assert_eq!(depth(), 1);
        queues.clear();
        assert_eq!(depth(), 0);
    }
}
