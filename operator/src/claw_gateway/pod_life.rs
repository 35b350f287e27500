//! Whether a pod still counts. Pure.

use k8s_openapi::api::core::v1::Pod;

/// Whether it runs or may yet: not one on its way out, and not one that ended. An evicted pod stays for hours with the
/// address it had, which another pod may have by then.
pub(super) fn is_going_on(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && !matches!(phase, Some("Failed" | "Succeeded"))
}
