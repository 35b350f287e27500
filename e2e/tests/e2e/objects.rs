//! What is said of objects in the test's namespace.

pub(crate) use claw_e2e::testing::{Kind, holds};
