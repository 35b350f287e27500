//! The long-running programs of a node.

/// A program that can crash and be started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// The store.
    Etcd,
    /// The API server.
    ApiServer,
    /// Deployments, ReplicaSets, garbage collection and the like.
    ControllerManager,
    /// Puts pods on nodes.
    Scheduler,
    /// Runs containers, which outlive it.
    Containerd,
    /// Runs pods.
    Kubelet,
    /// Makes Services reachable.
    Proxy,
}

impl Component {
    /// In the order of a boot.
    pub(super) const ALL: [Self; 7] = [
        Self::Etcd,
        Self::ApiServer,
        Self::ControllerManager,
        Self::Scheduler,
        Self::Containerd,
        Self::Kubelet,
        Self::Proxy,
    ];
}
