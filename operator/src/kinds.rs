//! Kinds that a cluster may have or not, and that come and go while the operator runs: found out by asking the API
//! server what it serves, which everybody may, in one namespace as in all.

mod objects;

use std::{sync::Arc, time::Duration};

use futures::{Stream, stream};
use kube::{Client, Resource};
pub use objects::{Certificate, HttpRoute, PodMonitor, PrometheusRule};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

/// How long a kind may be there or gone unnoticed. One small request each time, and one more for each API group that
/// has such a kind.
const PERIOD: Duration = Duration::from_secs(15);

/// One of these kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionalKind {
    /// What Prometheus reads.
    PodMonitor,
    /// What Prometheus warns of.
    PrometheusRule,
    /// A route of the Gateway API.
    HttpRoute,
    /// A certificate of cert-manager.
    Certificate,
}

impl OptionalKind {
    const ALL: [Self; 4] = [
        Self::PodMonitor,
        Self::PrometheusRule,
        Self::HttpRoute,
        Self::Certificate,
    ];

    /// API group with version, and plural.
    fn names(self) -> (String, String) {
        fn of<K: Resource<DynamicType = ()>>() -> (String, String) {
            (
                K::api_version(&()).into_owned(),
                K::plural(&()).into_owned(),
            )
        }
        match self {
            Self::PodMonitor => of::<PodMonitor>(),
            Self::PrometheusRule => of::<PrometheusRule>(),
            Self::HttpRoute => of::<HttpRoute>(),
            Self::Certificate => of::<Certificate>(),
        }
    }
}

/// Which of them the cluster has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KindSet([bool; OptionalKind::ALL.len()]);

impl KindSet {
    /// Whether the cluster has it.
    pub fn has(self, kind: OptionalKind) -> bool {
        self.0[kind as usize]
    }

    /// The same with one more.
    #[must_use]
    pub fn with(mut self, kind: OptionalKind) -> Self {
        self.0[kind as usize] = true;
        self
    }
}

/// What is known of the cluster's kinds; clones share it.
#[derive(Clone, Debug)]
pub struct Kinds(Arc<watch::Sender<Option<KindSet>>>);

impl Default for Kinds {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl Kinds {
    /// What the cluster has, as far as is known.
    pub fn now(&self) -> KindSet {
        self.0.borrow().unwrap_or_default()
    }

    /// Resolves once the cluster has been asked.
    pub async fn wait_until_known(&self) {
        // The sender is ours, so it cannot be gone.
        let _ = self.0.subscribe().wait_for(Option::is_some).await;
    }

    /// Resolves when the cluster has the kind (`true`), or has it no more.
    pub async fn wait_until(&self, kind: OptionalKind, is_there: bool) {
        let mut known = self.0.subscribe();
        let _ = known
            .wait_for(|known| known.unwrap_or_default().has(kind) == is_there)
            .await;
    }

    /// Whether that is news.
    fn learn(&self, found: KindSet) -> bool {
        self.0.send_if_modified(|known| {
            let is_new = *known != Some(found);
            *known = Some(found);
            is_new
        })
    }
}

/// Ask the cluster again and again; gives something each time that a kind has come or gone. Never ends.
pub fn discover(client: Client, kinds: Kinds) -> impl Stream<Item = ()> {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    stream::unfold((client, kinds, ticks), |(client, kinds, mut ticks)| async {
        loop {
            ticks.tick().await;
            let found = match ask(&client).await {
                Ok(found) => found,
                Err(error) => {
                    tracing::debug!(
                        error = crate::error::chain(&error),
                        "failed to ask which kinds the cluster has"
                    );
                    // What was there before is taken to be there still.
                    kinds.now()
                }
            };
            if kinds.learn(found) {
                return Some(((), (client, kinds, ticks)));
            }
        }
    })
}

async fn ask(client: &Client) -> kube::Result<KindSet> {
    let groups = client.list_api_groups().await?.groups;
    let served: Vec<String> = groups
        .into_iter()
        .flat_map(|group| group.versions)
        .map(|version| version.group_version)
        .collect();
    let mut found = KindSet::default();
    for kind in OptionalKind::ALL {
        let (group_version, plural) = kind.names();
        if !served.contains(&group_version) {
            continue;
        }
        let resources = client.list_api_group_resources(&group_version).await?;
        if resources.resources.iter().any(|one| one.name == plural) {
            found = found.with(kind);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_apart() {
        for kind in OptionalKind::ALL {
            let set = KindSet::default().with(kind);
            for other in OptionalKind::ALL {
                assert_eq!(set.has(other), kind == other);
            }
        }
    }

    #[test]
    fn the_same_is_no_news() {
        let kinds = Kinds::default();
        assert!(kinds.learn(KindSet::default()), "now it is known");
        assert!(!kinds.learn(KindSet::default()));
        let found = KindSet::default().with(OptionalKind::HttpRoute);
        assert!(kinds.learn(found));
        assert_eq!(kinds.now(), found);
    }

    #[test]
    fn kinds_are_named_as_the_api_server_has_them() {
        let names = OptionalKind::ALL.map(|kind| {
            let (group_version, plural) = kind.names();
            format!("{plural}.{group_version}")
        });
        assert_eq!(
            names,
            [
                "podmonitors.monitoring.coreos.com/v1",
                "prometheusrules.monitoring.coreos.com/v1",
                "httproutes.gateway.networking.k8s.io/v1",
                "certificates.cert-manager.io/v1",
            ]
        );
    }
}
