//! Server-side apply that creates an object or does nothing, in one request. Pure.
//!
//! Apply itself knows no such wish. But the time of creation is the API server's: on a new object it overwrites what a
//! client says, and on one that exists it refuses any other value than the object's own.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

const FIELD: &str = "metadata.creationTimestamp";

/// As the creation time of what is applied: the object must not exist. None was created in 1970.
pub(super) fn only() -> Time {
    Time(Timestamp::UNIX_EPOCH)
}

/// Whether it was refused because the object exists.
pub(super) fn is_refused(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else {
        return false;
    };
    let details = status.details.iter();
    status.code == 422
        && details
            .flat_map(|details| &details.causes)
            .any(|cause| cause.field == FIELD)
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn error(code: u16, field: &str) -> kube::Error {
        let status = json!({
            "status": "Failure", "code": code, "reason": "Invalid",
            "details": {"causes": [{"reason": "FieldValueInvalid", "field": field, "message": "field is immutable"}]},
        });
        let status: Status = serde_json::from_value(status).expect("a status");
        kube::Error::Api(Box::new(status))
    }

    #[rstest]
    #[case::exists(422, "metadata.creationTimestamp", true)]
    #[case::invalid(422, "spec.replicas", false)]
    #[case::conflict(409, "metadata.creationTimestamp", false)]
    fn only_an_object_that_exists_is_told(
        #[case] code: u16,
        #[case] field: &str,
        #[case] refused: bool,
    ) {
        assert_eq!(is_refused(&error(code, field)), refused);
    }
}
