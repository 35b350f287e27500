//! The only places that the gateway can write to.

use k8s_openapi::{
    api::core::v1::{EmptyDirVolumeSource, Volume, VolumeMount},
    apimachinery::pkg::api::resource::Quantity,
};

/// Models, fetched and imported.
pub(super) const STATE_DIR: &str = "/var/lib/clawdbot";
const STATE: &str = "state";
const SCRATCH: &str = "tmp";

pub(super) fn build(storage: &str) -> Vec<Volume> {
    vec![
        empty_dir(STATE, Some(Quantity(storage.to_owned()))),
        empty_dir(SCRATCH, None),
    ]
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
