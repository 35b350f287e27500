//! Fetched and imported models outlive the pods, where that is wanted, and by default the gateway, too.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};

use super::object_meta;
use crate::claw_gateway::validate::{ValidatedGateway, ValidatedStorage};

pub(super) fn build(gateway: &ValidatedGateway) -> Option<PersistentVolumeClaim> {
    let ValidatedStorage::Claim(claim) = &gateway.pod.storage else {
        return None;
    };
    let mut metadata = object_meta(gateway, gateway.name.volume_claim());
    if claim.is_kept {
        // Garbage collection takes what has an owner along with it.
        metadata.owner_references = None;
    }
    let requests: BTreeMap<_, _> = [("storage".to_owned(), Quantity(claim.size.clone()))].into();
    Some(PersistentVolumeClaim {
        metadata,
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec![claim.access_mode.to_owned()]),
            storage_class_name: claim.storage_class.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some(requests),
                ..VolumeResourceRequirements::default()
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    })
}
