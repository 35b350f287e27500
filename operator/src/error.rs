//! Errors as text, once, where they leave the program.

use std::error::Error;

use kube::core::Status;

/// Errors that metrics count by the step that failed.
pub trait Label {
    /// The step, as one of few constants.
    fn label(&self) -> &'static str;
}

/// The error and all its causes on one line.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut parts = Vec::new();
    let mut cause = Some(error);
    while let Some(error) = cause {
        // The client's own text repeats the API server's answer twice, with every field of it.
        if let Some(kube::Error::Api(status)) = error.downcast_ref() {
            parts.push(status.message.clone());
            break;
        }
        parts.push(error.to_string());
        cause = error.source();
    }
    parts.join(": ")
}

/// Whether trying again may help: the API server was away, busy or of another mind.
pub fn is_transient(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(kube::Error::Api(status)) = error.downcast_ref() {
            // Invalid objects stay invalid until somebody changes them, which wakes us; and a namespace on its way out
            // takes nothing any more.
            return !matches!(status.code, 400 | 405 | 413 | 415 | 422) && !is_leaving(status);
        }
        cause = error.source();
    }
    true
}

/// Whether the namespace is being deleted.
fn is_leaving(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes
        .into_iter()
        .any(|cause| cause.reason == "NamespaceTerminating")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::claw_gateway::apply;

    fn refused(code: u16) -> apply::Error {
        apply::Error::Apply {
            kind: "Deployment".into(),
            name: "desk".into(),
            source: kube::Error::Api(Box::new(Status::failure("no", "Reason").with_code(code))),
        }
    }

    #[rstest]
    #[case(422, false)]
    #[case(403, true)]
    #[case(409, true)]
    #[case(503, true)]
    fn what_only_a_change_can_mend_is_not_tried_again(#[case] code: u16, #[case] transient: bool) {
        assert_eq!(is_transient(&refused(code)), transient);
    }

    #[test]
    fn a_namespace_that_is_being_deleted_is_left_alone() {
        let cause =
            json!({"reason": "NamespaceTerminating", "message": "", "field": "metadata.namespace"});
        let status = json!({"status": "Failure", "code": 403, "reason": "Forbidden", "details": {"causes": [cause]}});
        let status: Status = serde_json::from_value(status).expect("a status");
        assert!(!is_transient(&kube::Error::Api(Box::new(status))));
    }

    #[test]
    fn the_chain_names_object_and_cause_once() {
        assert_eq!(chain(&refused(422)), "failed to apply Deployment desk: no");
    }
}
