//! Values of the operator's chart that tests render with.

use serde_json::{Value, json};

/// Something other than the default for every value, where that goes together.
pub(crate) fn everything() -> Value {
    json!({
        "nameOverride": "worker",
        "fullnameOverride": "front-office",
        "commonLabels": {"team": "platform"},
        "commonAnnotations": {"example.com/owner": "platform"},
        "namespaced": true,
        "replicas": 3,
        "imageRegistry": "mirror.invalid:5000",
        "imagePullSecrets": ["mirror"],
        "image": {
            "registry": "first.invalid",
            "repository": "team/operator",
            "tag": "1.2.3",
            "digest": format!("sha256:{}", "a".repeat(64)),
            "pullPolicy": "Always",
        },
        "gateway": {
            "imagePullSecrets": ["mirror", "backup"],
            "image": {
                "registry": "second.invalid",
                "repository": "team/gateway",
                "tag": "2.3.4",
                "digest": format!("sha256:{}", "b".repeat(64)),
            },
            "cudaImage": {
                "registry": "third.invalid",
                "repository": "team/gateway-cuda",
                "tag": "3.4.5",
                "digest": format!("sha256:{}", "c".repeat(64)),
            },
        },
        "logging": {"level": "claw_operator=debug,info", "format": "text"},
        "management": {"port": 9090, "bindAddress": "::"},
        "metrics": metrics(),
        "serviceAccount": {
            "create": true,
            "name": "clerk",
            "annotations": {"example.com/role": "clerk"},
        },
        "rbac": {"create": true, "aggregateToUserRoles": true},
        "podDisruptionBudget": {"enabled": true, "maxUnavailable": "50%"},
        "networkPolicy": {
            "enabled": true,
            "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
        },
        "podLabels": {"zone": "internal"},
        "podAnnotations": {"example.com/scan": "weekly"},
        "env": [{"name": "HTTPS_PROXY", "value": "http://proxy.invalid:3128"}],
        "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}},
        "podSecurityContext": {"fsGroup": 1234},
        "securityContext": {"runAsUser": 1234},
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "control-plane", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]}]},
        ]}}},
        "spreadReplicas": true,
        "topologySpreadConstraints": [{
            "topologyKey": "example.com/rack",
            "maxSkew": 2,
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"team": "platform"}},
        }],
        "priorityClassName": "system-cluster-critical",
    })
}

fn metrics() -> Value {
    json!({
        "runbookBase": "https://runbooks.invalid/claw",
        "service": {"enabled": true, "annotations": {"example.com/kind": "metrics"}},
        "prometheusRule": {
            "enabled": true,
            "labels": {"release": "prometheus"},
            "annotations": {"example.com/kind": "alerts"},
        },
        "dashboard": {
            "enabled": true,
            "labels": {"grafana_dashboard": "yes"},
            "annotations": {"example.com/kind": "dashboard"},
        },
        "serviceMonitor": {
            "enabled": true,
            "labels": {"release": "prometheus"},
            "annotations": {"example.com/kind": "monitor"},
            "interval": "15s",
            "scrapeTimeout": "5s",
            "relabelings": [{"targetLabel": "cluster", "replacement": "west"}],
            "metricRelabelings": [{"sourceLabels": ["__name__"], "regex": "go_.*", "action": "drop"}],
        },
    })
}

/// What a Prometheus of the cluster needs.
pub(crate) fn monitoring() -> Value {
    json!({"metrics": {
        "serviceMonitor": {"enabled": true, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": true, "labels": {"release": "prometheus"}},
    }})
}
