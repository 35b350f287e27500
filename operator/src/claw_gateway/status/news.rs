//! What users are told beside conditions. Pure.

use claw_crds::ClawGatewayStatus;
use kube::runtime::events::{Event, EventType};

/// Another certificate is served than before: one that ends at another time, or that was `replaced` by one of our own
/// within the same second.
pub(super) fn of_certificate(
    before: Option<&ClawGatewayStatus>,
    after: &ClawGatewayStatus,
    replaced: bool,
) -> Option<Event> {
    let before = before?.certificate_expires.as_ref()?;
    let after = after.certificate_expires.as_ref()?;
    (before != after || replaced).then(|| Event {
        type_: EventType::Normal,
        reason: "CertificateRotated".into(),
        note: Some(format!(
            "a new certificate is served, until {after}; the one before ended {before}"
        )),
        action: "RotateCertificate".into(),
        secondary: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn until(end: Option<&str>) -> ClawGatewayStatus {
        ClawGatewayStatus {
            certificate_expires: end.map(str::to_owned),
            ..ClawGatewayStatus::default()
        }
    }

    #[test]
    fn only_another_certificate_is_news() {
        let (old, new) = (
            until(Some("2027-01-01T00:00:00Z")),
            until(Some("2027-03-01T00:00:00Z")),
        );
        let event = of_certificate(Some(&old), &new, false).expect("news");
        assert_eq!(event.reason, "CertificateRotated");
        assert!(of_certificate(Some(&new), &new, false).is_none());
        assert!(of_certificate(Some(&new), &new, true).is_some());
        assert!(of_certificate(Some(&until(None)), &new, true).is_none());
        assert!(of_certificate(None, &new, true).is_none());
    }
}
