//! Finds out why a request was not sent.

use std::error::Error;

use claw_crds::outbound::Refusal;

/// The refusal behind an error of the client, if it is one: what a name led to may not be called.
pub fn refusal_in<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Refusal> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(refusal) = error.downcast_ref::<Refusal>() {
            return Some(refusal);
        }
        cause = error.source();
    }
    None
}
