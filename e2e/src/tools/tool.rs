//! Every program that tests start and that is not ours, with the module and package it is built from.

use std::path::{Path, PathBuf};

use super::{ASSETS_VARIABLE, Error, build, module::Module};

/// A program of somebody else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// The store of a control plane.
    Etcd,
    /// The API server.
    KubeApiserver,
    /// Deployments, ReplicaSets, garbage collection and the like.
    KubeControllerManager,
    /// Puts pods on nodes.
    KubeScheduler,
    /// Runs pods on a node.
    Kubelet,
    /// Makes Services reachable on a node.
    KubeProxy,
    /// The command line of Kubernetes.
    Kubectl,
    /// Charts.
    Helm,
    /// DNS of a cluster.
    Coredns,
    /// What HPAs and `kubectl top` read.
    MetricsServer,
    /// Nodes that exist on paper only.
    Kwok,
    /// The engine inside Argo CD, as one program.
    GitopsAgent,
    /// Checks and tests Prometheus rules.
    Promtool,
}

impl Tool {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Etcd,
        Self::KubeApiserver,
        Self::KubeControllerManager,
        Self::KubeScheduler,
        Self::Kubelet,
        Self::KubeProxy,
        Self::Kubectl,
        Self::Helm,
        Self::Promtool,
        Self::Coredns,
        Self::MetricsServer,
        Self::Kwok,
        Self::GitopsAgent,
    ];

    /// The program's file name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
            Self::Kubelet => "kubelet",
            Self::KubeProxy => "kube-proxy",
            Self::Kubectl => "kubectl",
            Self::Helm => "helm",
            Self::Coredns => "coredns",
            Self::MetricsServer => "metrics-server",
            Self::Kwok => "kwok",
            Self::GitopsAgent => "gitops-agent",
            Self::Promtool => "promtool",
        }
    }

    /// The Go package it is built from.
    pub(super) const fn package(self) -> &'static str {
        match self {
            Self::Etcd => "go.etcd.io/etcd/server/v3",
            Self::KubeApiserver => "k8s.io/kubernetes/cmd/kube-apiserver",
            Self::KubeControllerManager => "k8s.io/kubernetes/cmd/kube-controller-manager",
            Self::KubeScheduler => "k8s.io/kubernetes/cmd/kube-scheduler",
            Self::Kubelet => "k8s.io/kubernetes/cmd/kubelet",
            Self::KubeProxy => "k8s.io/kubernetes/cmd/kube-proxy",
            Self::Kubectl => "k8s.io/kubernetes/cmd/kubectl",
            Self::Helm => "helm.sh/helm/v3/cmd/helm",
            Self::Coredns => "github.com/coredns/coredns",
            Self::MetricsServer => "sigs.k8s.io/metrics-server/cmd/metrics-server",
            Self::Kwok => "sigs.k8s.io/kwok/cmd/kwok",
            Self::GitopsAgent => "github.com/argoproj/gitops-engine/agent",
            Self::Promtool => "github.com/prometheus/prometheus/cmd/promtool",
        }
    }

    pub(super) const fn module(self) -> Module {
        match self {
            Self::Etcd => Module::ETCD,
            Self::KubeApiserver
            | Self::KubeControllerManager
            | Self::KubeScheduler
            | Self::Kubelet
            | Self::KubeProxy
            | Self::Kubectl => Module::KUBERNETES,
            Self::Helm => Module::HELM,
            Self::Coredns => Module::COREDNS,
            Self::MetricsServer => Module::METRICS_SERVER,
            Self::Kwok => Module::KWOK,
            Self::GitopsAgent => Module::GITOPS_AGENT,
            Self::Promtool => Module::PROMETHEUS,
        }
    }

    /// Where it lies; built first where it is missing, which takes minutes. `progress` gets one line at a time.
    pub fn find_or_build(self, progress: &mut dyn FnMut(&str)) -> Result<PathBuf, Error> {
        let [path] = Self::find_or_build_all([self], progress)?;
        Ok(path)
    }

    /// The same for several, in their order; those of one module are built together.
    pub fn find_or_build_all<const N: usize>(
        tools: [Self; N],
        progress: &mut dyn FnMut(&str),
    ) -> Result<[PathBuf; N], Error> {
        let assets = std::env::var_os(ASSETS_VARIABLE).map(PathBuf::from);
        Self::from_assets_or_build(tools, assets.as_deref(), progress)
    }

    /// From `assets` where it has them. Envtest's own bundles, say, lack the controller manager: the rest is built.
    pub(super) fn from_assets_or_build<const N: usize>(
        tools: [Self; N],
        assets: Option<&Path>,
        progress: &mut dyn FnMut(&str),
    ) -> Result<[PathBuf; N], Error> {
        let given = |tool: Self| {
            assets
                .map(|directory| directory.join(tool.name()))
                .filter(|path| path.is_file())
        };
        let wanted: Vec<Self> = tools
            .into_iter()
            .filter(|tool| given(*tool).is_none())
            .collect();
        let mut directories = Vec::new();
        for group in wanted.chunk_by(|one, other| one.module() == other.module()) {
            let directory = build::find_or_build(&group[0].module(), group, progress)?;
            directories.extend(group.iter().map(|tool| directory.join(tool.name())));
        }
        let mut built = directories.into_iter();
        Ok(tools.map(|tool| {
            given(tool)
                .or_else(|| built.next())
                .expect("every tool that was not given has been built")
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_is_pinned_by_a_module_that_lists_its_package() {
        for tool in Tool::ALL {
            let path = tool.module().directory().join("go.mod");
            let go_mod = std::fs::read_to_string(&path).expect("readable");
            let lists = |line: &str| line.trim().trim_start_matches("tool ") == tool.package();
            assert!(go_mod.lines().any(lists), "{tool:?}");
        }
    }

    #[test]
    fn a_directory_with_every_program_is_used_without_any_build() {
        let assets = tempfile::tempdir().expect("a temporary directory");
        let tools = [Tool::Kubectl, Tool::Helm];
        for tool in tools {
            std::fs::write(assets.path().join(tool.name()), "").expect("writable");
        }
        let mut lines = Vec::new();
        let found = Tool::from_assets_or_build(tools, Some(assets.path()), &mut |line| {
            lines.push(line.to_owned());
        })
        .expect("found");
        let expected = tools.map(|tool| assets.path().join(tool.name()));
        assert_eq!(found, expected);
        assert_eq!(lines, Vec::<String>::new());
    }
}
