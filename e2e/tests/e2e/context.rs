//! What a test is and works with.

pub(crate) use claw_e2e::{
    cases,
    testing::{Case, Context, DEADLINE},
};
