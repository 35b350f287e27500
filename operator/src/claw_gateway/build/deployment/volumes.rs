//! The only places that the gateway can write to, and those with models that it reads.

use claw_crds::CLAIMS_DIR;
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
    let mut volumes = vec![state, empty_dir(SCRATCH, None)];
    let claims = gateway.pod.model_claims.iter().enumerate();
    volumes.extend(claims.map(|(index, claim)| Volume {
        name: model_volume(index),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim.clone(),
            // Of the volume as such, so that nothing in the pod can change it.
            read_only: Some(true),
        }),
        ..Volume::default()
    }));
    volumes
}

/// The name of a claim may be longer than that of a volume.
fn model_volume(index: usize) -> String {
    format!("models-{index}")
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

pub(super) fn mounts(gateway: &ValidatedGateway) -> Vec<VolumeMount> {
    let written = [(STATE, STATE_DIR), (SCRATCH, "/tmp")].map(|(name, path)| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        ..VolumeMount::default()
    });
    let claims = gateway.pod.model_claims.iter().enumerate();
    let read = claims.map(|(index, claim)| VolumeMount {
        name: model_volume(index),
        mount_path: format!("{CLAIMS_DIR}/{claim}"),
        read_only: Some(true),
        ..VolumeMount::default()
    });
    written.into_iter().chain(read).collect()
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
