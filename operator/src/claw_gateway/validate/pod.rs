//! What one pod is: image, resources, place.

use std::collections::{BTreeMap, BTreeSet};

use claw_crds::{
    ClawGatewaySpec,
    claw_gateway::{Accelerator, AcceleratorType},
    quantity::Quantity,
};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Toleration};

use super::{ValidatedStorage, storage};
use crate::{claw_gateway::verdict::Fault, environment::Environment, quantity::nano};

/// One pod.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedPod {
    /// The image.
    pub image: String,
    /// Secrets with credentials for its registry.
    pub pull_secrets: Vec<String>,
    /// CPU request.
    pub cpu: String,
    /// Memory request and limit.
    pub memory: String,
    /// Where models are kept.
    pub storage: ValidatedStorage,
    /// Claims with models that are there already, by name, each once.
    pub model_claims: BTreeSet<String>,
    /// What local models run on.
    pub devices: ValidatedDevices,
}

/// What local models run on.
#[derive(Clone, Debug, PartialEq)]
pub enum ValidatedDevices {
    /// The CPU, and never a GPU.
    Cpu,
    /// A GPU where the container finds one.
    WhateverIsThere,
    /// GPUs that the scheduler gives.
    Gpu(ValidatedGpu),
}

impl ValidatedDevices {
    /// The GPUs to ask for.
    pub fn gpu(&self) -> Option<&ValidatedGpu> {
        match self {
            Self::Gpu(gpu) => Some(gpu),
            Self::Cpu | Self::WhateverIsThere => None,
        }
    }
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
    claim: Option<&PersistentVolumeClaim>,
) -> Result<ValidatedPod, Fault> {
    let defaults = spec.size.defaults();
    let resources = spec.resources.as_ref();
    let cpu = resources.and_then(|resources| resources.cpu.as_ref());
    let memory = resources.and_then(|resources| resources.memory.as_ref());
    Ok(ValidatedPod {
        image: match spec.accelerator.accelerator_type {
            AcceleratorType::Nvidia => environment.cuda_image.clone(),
            AcceleratorType::Auto | AcceleratorType::None => environment.image.clone(),
        },
        pull_secrets: environment.image_pull_secrets.clone(),
        cpu: quantity("spec.resources.cpu", cpu, defaults.cpu)?,
        memory: quantity("spec.resources.memory", memory, defaults.memory)?,
        storage: storage::validate(spec, claim)?,
        model_claims: model_claims(spec),
        devices: devices(&spec.accelerator),
    })
}

fn model_claims(spec: &ClawGatewaySpec) -> BTreeSet<String> {
    let sources = spec.models.iter().filter_map(|model| {
        let source = &model.local.as_ref()?.source;
        source.persistent_volume_claim.as_ref()
    });
    sources.map(|claim| claim.claim_name.clone()).collect()
}

/// A quantity that pods can have. The schema checks its form, but knows no sign.
pub(super) fn quantity(
    field: &str,
    given: Option<&Quantity>,
    default: &str,
) -> Result<String, Fault> {
    let text = given.map_or(default, Quantity::as_str);
    if nano(text).is_some_and(|amount| amount > 0) {
        Ok(text.to_owned())
    } else {
        Err(Fault::invalid(format!(
            "{field} {text:?}: not an amount that a pod can have; give a positive quantity such as {default}"
        )))
    }
}

fn devices(accelerator: &Accelerator) -> ValidatedDevices {
    match accelerator.accelerator_type {
        AcceleratorType::Auto => ValidatedDevices::WhateverIsThere,
        AcceleratorType::None => ValidatedDevices::Cpu,
        AcceleratorType::Nvidia => ValidatedDevices::Gpu(gpu(accelerator)),
    }
}

fn gpu(accelerator: &Accelerator) -> ValidatedGpu {
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
    ValidatedGpu {
        resource,
        count: accelerator.count.unwrap_or(1),
        node_selector: accelerator
            .node_selector
            .clone()
            .filter(|labels| !labels.is_empty()),
        tolerations,
        runtime_class: accelerator.runtime_class_name.clone(),
    }
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
        let once = gpu(&accelerator).tolerations;
        assert_eq!(once.len(), 1);
        let again = Accelerator {
            tolerations: Some(once),
            ..accelerator
        };
        assert_eq!(gpu(&again).tolerations.len(), 1);
    }

    #[test]
    fn only_nvidia_asks_for_gpus() {
        for accelerator_type in [AcceleratorType::Auto, AcceleratorType::None] {
            let accelerator = Accelerator {
                accelerator_type,
                ..Accelerator::default()
            };
            assert_eq!(devices(&accelerator).gpu(), None);
        }
    }
}
