//! One watch a kind: it fills the cache and tells what changed. What a change means is decided in `dispatch`.

use std::{fmt::Debug, future::ready};

use futures::{Stream, StreamExt};
use kube::{
    Api, Resource,
    runtime::{WatchStreamExt, watcher, watcher::Event},
};
use serde::de::DeserializeOwned;

use crate::{
    cache::{Cacheable, Writer},
    metrics::Metrics,
};

/// What a watch tells.
#[derive(Clone, Debug)]
pub enum Change<K> {
    /// An object came or changed.
    Touched(K),
    /// An object is gone.
    Deleted(K),
    /// Everything was listed anew. What vanished in between is not told one by one.
    Relisted,
}

/// Which changes a watch tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tell {
    /// All of them.
    All,
    /// Those that others made. What we wrote, whoever wrote it knows.
    Foreign,
}

/// Watch one kind and keep it, without what `trim` takes off. Never ends; errors are logged, counted and
/// waited out.
pub fn watch<K>(
    api: Api<K>,
    config: watcher::Config,
    mut writer: Writer<K>,
    trim: fn(&mut K),
    tell: Tell,
    metrics: &Metrics,
) -> impl Stream<Item = Change<K>> + use<K>
where
    K: Cacheable + DeserializeOwned,
{
    let seen = watcher(api, config).default_backoff().modify(trim);
    let told = seen.filter(move |event| {
        let is_news = event.as_ref().map_or(true, |event| writer.apply(event));
        ready(is_news || tell == Tell::All)
    });
    changes(told, metrics.clone())
}

/// Watch one kind without keeping anything.
pub fn watch_only<K>(
    api: Api<K>,
    config: watcher::Config,
    metrics: &Metrics,
) -> impl Stream<Item = Change<K>> + use<K>
where
    K: Resource<DynamicType: Default> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    changes(watcher(api, config).default_backoff(), metrics.clone())
}

fn changes<K: Resource<DynamicType: Default>>(
    events: impl Stream<Item = watcher::Result<Event<K>>>,
    metrics: Metrics,
) -> impl Stream<Item = Change<K>> {
    events.filter_map(move |event| {
        ready(match event {
            // Listed objects are told too: whoever keeps an index by them must not miss any.
            Ok(Event::Apply(object) | Event::InitApply(object)) => Some(Change::Touched(object)),
            Ok(Event::Delete(object)) => Some(Change::Deleted(object)),
            Ok(Event::InitDone) => Some(Change::Relisted),
            Ok(Event::Init) => None,
            Err(error) => {
                if is_no_kind(&error) && K::group(&K::DynamicType::default()) != claw_crds::GROUP {
                    // Removed from the cluster, which whoever keeps the list of kinds finds out.
                    return ready(None);
                }
                report(&error, &metrics, &K::kind(&K::DynamicType::default()));
                None
            }
        })
    })
}

/// Whether the API server does not know what is watched.
fn is_no_kind(error: &watcher::Error) -> bool {
    let (watcher::Error::InitialListFailed(kube::Error::Api(status))
    | watcher::Error::WatchStartFailed(kube::Error::Api(status))) = error
    else {
        return false;
    };
    status.code == 404
}

fn report(error: &watcher::Error, metrics: &Metrics, kind: &str) {
    metrics.watch_failed(kind);
    tracing::warn!(
        error = crate::error::chain(error),
        "the watch of {kind} was interrupted; it is taken up again"
    );
}
