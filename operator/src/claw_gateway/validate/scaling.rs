//! How many pods there are to be, and who says so.

use claw_crds::{ClawGatewaySpec, claw_gateway::Autoscaling};
use k8s_openapi::api::apps::v1::Deployment;

use crate::drift;

/// How many pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValidatedScaling {
    /// So many.
    Fixed(i32),
    /// As many as the autoscaler says.
    Auto {
        /// The autoscaler.
        autoscaler: ValidatedAutoscaler,
        /// The number to keep while the autoscaler has not taken it over. A field that we own and leave out is
        /// reset to one pod.
        held: Option<i32>,
    },
}

/// The autoscaler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidatedAutoscaler {
    /// Fewest pods.
    pub min: i32,
    /// Most pods.
    pub max: i32,
    /// Percent of the CPU request.
    pub cpu_utilization: i32,
    /// For how long, in seconds.
    pub window_seconds: i32,
    /// Pods added at a time.
    pub step_pods: i32,
}

impl ValidatedScaling {
    /// The number that we set; none when it is the autoscaler's.
    pub fn replicas(&self) -> Option<i32> {
        match self {
            Self::Fixed(replicas) => Some(*replicas),
            Self::Auto { held, .. } => *held,
        }
    }

    /// Most pods that there can be.
    pub fn most(&self) -> i32 {
        match self {
            Self::Fixed(replicas) => *replicas,
            Self::Auto { autoscaler, .. } => autoscaler.max,
        }
    }
}

pub(super) fn validate(spec: &ClawGatewaySpec, live: Option<&Deployment>) -> ValidatedScaling {
    let Some(Autoscaling {
        min_replicas,
        max_replicas,
        cpu_utilization,
        window_seconds,
        step_pods,
    }) = spec.autoscaling
    else {
        return ValidatedScaling::Fixed(spec.replicas_or_default());
    };
    let held = match live {
        None => Some(min_replicas),
        Some(live) if drift::owns(live, &["spec", "replicas"]) => live
            .spec
            .as_ref()
            .and_then(|spec| spec.replicas)
            // An autoscaler leaves a Deployment at zero alone for ever.
            .map_or(Some(min_replicas), |live| Some(live.max(min_replicas))),
        Some(_) => None,
    };
    ValidatedScaling::Auto {
        autoscaler: ValidatedAutoscaler {
            min: min_replicas,
            max: max_replicas,
            cpu_utilization,
            window_seconds,
            step_pods,
        },
        held,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(scaling: &serde_json::Value) -> ClawGatewaySpec {
        let mut spec = json!({"models": [], "auth": {"anonymous": {}}});
        let fields = scaling.as_object().expect("an object").clone();
        spec.as_object_mut().expect("an object").extend(fields);
        serde_json::from_value(spec).expect("a spec")
    }

    fn autoscaled() -> ClawGatewaySpec {
        spec(&json!({"autoscaling": {"minReplicas": 2, "maxReplicas": 10}}))
    }

    fn live(manager: &str) -> Deployment {
        live_of(manager, 5)
    }

    fn live_of(manager: &str, replicas: i32) -> Deployment {
        serde_json::from_value(json!({
            "metadata": {"managedFields": [{
                "manager": manager, "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}}}
            }]},
            "spec": {"replicas": replicas, "selector": {}, "template": {}},
        }))
        .expect("a deployment")
    }

    #[test]
    fn without_an_autoscaler_the_spec_says_how_many() {
        let scaling = validate(&spec(&json!({"replicas": 3})), Some(&live("claw-operator")));
        assert_eq!(scaling, ValidatedScaling::Fixed(3));
        assert_eq!(validate(&spec(&json!({})), None).replicas(), Some(1));
    }

    #[test]
    fn a_new_autoscaled_gateway_starts_with_the_fewest() {
        assert_eq!(validate(&autoscaled(), None).replicas(), Some(2));
    }

    #[test]
    fn the_number_is_held_until_the_autoscaler_takes_it_over() {
        let ours = validate(&autoscaled(), Some(&live("claw-operator")));
        assert_eq!(ours.replicas(), Some(5));
        let asleep = validate(&autoscaled(), Some(&live_of("claw-operator", 0)));
        assert_eq!(
            asleep.replicas(),
            Some(2),
            "the autoscaler would not start it"
        );
        let theirs = validate(&autoscaled(), Some(&live("kube-controller-manager")));
        assert_eq!(theirs.replicas(), None);
        assert_eq!(theirs.most(), 10);
    }
}
