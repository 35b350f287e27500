//! What one pod is: image, resources, place.

use std::collections::BTreeMap;

use claw_crds::{
    ClawGatewaySpec,
    claw_gateway::{Accelerator, AcceleratorType},
    quantity::Quantity,
};
use k8s_openapi::api::core::v1::Toleration;

use crate::{claw_gateway::verdict::Fault, environment::Environment, quantity::nano};

/// One pod.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedPod {
    /// The image.
    pub image: String,
    /// CPU request.
    pub cpu: String,
    /// Memory request and limit.
    pub memory: String,
    /// Size of the volume for models.
    pub storage: String,
    /// GPUs, if any.
    pub gpu: Option<ValidatedGpu>,
}

/// GPUs of one pod, and the nodes that have them.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedGpu {
    /// The extended resource.
    pub resource: String,
    /// How many.
    pub count: i32,
    /// Labels of the node.
    pub node_selector: Option<BTreeMap<String, String>>,
    /// Taints to put up with.
    pub tolerations: Vec<Toleration>,
    /// RuntimeClass.
    pub runtime_class: Option<String>,
}

pub(super) fn validate(
    spec: &ClawGatewaySpec,
    environment: &Environment,
) -> Result<ValidatedPod, Fault> {
    let defaults = spec.size.defaults();
    let resources = spec.resources.as_ref();
    let cpu = resources.and_then(|resources| resources.cpu.as_ref());
    let memory = resources.and_then(|resources| resources.memory.as_ref());
    let storage = spec.storage.as_ref().map(|storage| &storage.size);
    Ok(ValidatedPod {
        image: match spec.accelerator.accelerator_type {
            AcceleratorType::Nvidia => environment.cuda_image.clone(),
            AcceleratorType::Auto | AcceleratorType::None => environment.image.clone(),
        },
        cpu: quantity("spec.resources.cpu", cpu, defaults.cpu)?,
        memory: quantity("spec.resources.memory", memory, defaults.memory)?,
        storage: quantity("spec.storage.size", storage, defaults.storage)?,
        gpu: gpu(&spec.accelerator),
    })
}

/// A quantity that pods can have. The schema checks its form, but knows no sign.
fn quantity(field: &str, given: Option<&Quantity>, default: &str) -> Result<String, Fault> {
    let text = given.map_or(default, Quantity::as_str);
    if nano(text).is_some_and(|amount| amount > 0) {
        Ok(text.to_owned())
    } else {
        Err(Fault::invalid(format!(
            "{field} {text:?}: not an amount that a pod can have; give a positive quantity such as {default}"
        )))
    }
}

fn gpu(accelerator: &Accelerator) -> Option<ValidatedGpu> {
    if accelerator.accelerator_type != AcceleratorType::Nvidia {
        return None;
    }
    let resource = accelerator.resource_name_or_default().to_owned();
    let own = Toleration {
        key: Some(resource.clone()),
        operator: Some("Exists".into()),
        effect: Some("NoSchedule".into()),
        ..Toleration::default()
    };
    let mut tolerations = accelerator.tolerations.clone().unwrap_or_default();
    if !tolerations.contains(&own) {
        tolerations.push(own);
    }
    Some(ValidatedGpu {
        resource,
        count: accelerator.count.unwrap_or(1),
        node_selector: accelerator
            .node_selector
            .clone()
            .filter(|labels| !labels.is_empty()),
        tolerations,
        runtime_class: accelerator.runtime_class_name.clone(),
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("500m")]
    #[case("2")]
    #[case("1.5Gi")]
    fn accepts_a_positive_quantity(#[case] text: &str) {
        let given = Quantity::from(text);
        assert_eq!(quantity("f", Some(&given), "1").as_deref(), Ok(text));
    }

    #[rstest]
    #[case("-2")]
    #[case("0")]
    #[case("two")]
    fn rejects_what_no_pod_can_have(#[case] text: &str) {
        let fault =
            quantity("spec.resources.cpu", Some(&Quantity::from(text)), "2").expect_err("refused");
        assert!(
            fault
                .detail
                .starts_with(&format!("spec.resources.cpu {text:?}")),
            "{}",
            fault.detail
        );
    }

    #[test]
    fn the_taint_of_the_gpu_is_tolerated_once() {
        let accelerator = Accelerator {
            accelerator_type: AcceleratorType::Nvidia,
            ..Accelerator::default()
        };
        let once = gpu(&accelerator).expect("a GPU").tolerations;
        assert_eq!(once.len(), 1);
        let again = Accelerator {
            tolerations: Some(once),
            ..accelerator
        };
        assert_eq!(gpu(&again).expect("a GPU").tolerations.len(), 1);
    }

    #[test]
    fn only_nvidia_asks_for_gpus() {
        for accelerator_type in [AcceleratorType::Auto, AcceleratorType::None] {
            let accelerator = Accelerator {
                accelerator_type,
                ..Accelerator::default()
            };
            assert_eq!(gpu(&accelerator), None);
        }
    }
}
