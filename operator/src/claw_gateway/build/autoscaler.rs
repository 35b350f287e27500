//! More pods under load, quickly enough; fewer afterwards, slowly.

use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HPAScalingPolicy, HPAScalingRules, HorizontalPodAutoscaler,
    HorizontalPodAutoscalerBehavior, HorizontalPodAutoscalerSpec, MetricSpec, MetricTarget,
    ResourceMetricSource,
};

use super::object_meta;
use crate::claw_gateway::validate::{ValidatedAutoscaler, ValidatedGateway, ValidatedScaling};

/// The API's bounds of a policy's period, and the autoscaler's own beat as the lower one.
const PERIOD_SECONDS: (i32, i32) = (15, 1800);
/// A pod is taken away at most this often: loading a model again costs more than an idle pod.
const SCALE_DOWN_PERIOD_SECONDS: i32 = 120;
/// Load must have stayed low at least this long.
const SCALE_DOWN_WINDOW_SECONDS: i32 = 300;

pub(super) fn build(gateway: &ValidatedGateway) -> Option<HorizontalPodAutoscaler> {
    let ValidatedScaling::Auto { autoscaler, .. } = &gateway.scaling else {
        return None;
    };
    Some(HorizontalPodAutoscaler {
        metadata: object_meta(gateway, gateway.name.autoscaler()),
        spec: Some(HorizontalPodAutoscalerSpec {
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some("apps/v1".into()),
                kind: "Deployment".into(),
                name: gateway.name.deployment(),
            },
            min_replicas: Some(autoscaler.min),
            max_replicas: autoscaler.max,
            metrics: Some(vec![cpu(autoscaler)]),
            behavior: Some(behavior(autoscaler)),
        }),
        ..HorizontalPodAutoscaler::default()
    })
}

fn cpu(autoscaler: &ValidatedAutoscaler) -> MetricSpec {
    MetricSpec {
        type_: "Resource".into(),
        resource: Some(ResourceMetricSource {
            name: "cpu".into(),
            target: MetricTarget {
                type_: "Utilization".into(),
                average_utilization: Some(autoscaler.cpu_utilization),
                ..MetricTarget::default()
            },
        }),
        ..MetricSpec::default()
    }
}

fn behavior(autoscaler: &ValidatedAutoscaler) -> HorizontalPodAutoscalerBehavior {
    let window = autoscaler.window_seconds;
    HorizontalPodAutoscalerBehavior {
        // The window asks for lasting load; the period keeps the next step for the next window.
        scale_up: Some(rules(
            window,
            autoscaler.step_pods,
            window.clamp(PERIOD_SECONDS.0, PERIOD_SECONDS.1),
        )),
        scale_down: Some(rules(
            window.max(SCALE_DOWN_WINDOW_SECONDS),
            1,
            SCALE_DOWN_PERIOD_SECONDS,
        )),
    }
}

fn rules(window_seconds: i32, pods: i32, period_seconds: i32) -> HPAScalingRules {
    HPAScalingRules {
        stabilization_window_seconds: Some(window_seconds),
        policies: Some(vec![HPAScalingPolicy {
            type_: "Pods".into(),
            value: pods,
            period_seconds,
        }]),
        select_policy: Some("Max".into()),
        ..HPAScalingRules::default()
    }
}
