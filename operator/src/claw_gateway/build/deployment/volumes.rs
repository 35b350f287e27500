//! The only places that the gateway can write to.

use k8s_openapi::{
    api::core::v1::{EmptyDirVolumeSource, PersistentVolumeClaimVolumeSource, Volume, VolumeMount},
    apimachinery::pkg::api::resource::Quantity,
};

use crate::claw_gateway::validate::{ValidatedGateway, ValidatedStorage};

/// Models, fetched and imported.
pub(super) const STATE_DIR: &str = "/var/lib/clawdbot";
const STATE: &str = "state";
const SCRATCH: &str = "tmp";

pub(super) fn build(gateway: &ValidatedGateway) -> Vec<Volume> {
    let state = match &gateway.pod.storage {
        ValidatedStorage::Node(size) => empty_dir(STATE, Some(Quantity(size.clone()))),
        ValidatedStorage::Claim(_) => claimed(STATE, gateway.name.volume_claim()),
    };
    vec![state, empty_dir(SCRATCH, None)]
}

fn claimed(name: &str, claim_name: String) -> Volume {
    Volume {
        name: name.to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name,
            ..PersistentVolumeClaimVolumeSource::default()
        }),
        ..Volume::default()
    }
}

pub(super) fn mounts() -> Vec<VolumeMount> {
    [(STATE, STATE_DIR), (SCRATCH, "/tmp")]
        .map(|(name, path)| VolumeMount {
            name: name.to_owned(),
            mount_path: path.to_owned(),
            ..VolumeMount::default()
        })
        .into()
}

fn empty_dir(name: &str, size_limit: Option<Quantity>) -> Volume {
    Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            size_limit,
            ..EmptyDirVolumeSource::default()
        }),
        ..Volume::default()
    }
}
