//! What operator and gateways were refused in all the tests before: nothing.

use claw_e2e::{
    cases,
    testing::{Case, Context},
};

use crate::platform;

/// To be the last ones.
pub(crate) fn cases() -> Vec<Case> {
    let cases = cases![nobody_was_refused_anything];
    cases.into_iter().map(Case::alone).collect()
}

async fn nobody_was_refused_anything(context: Context) {
    platform::install(&context).await;
    let mut refused = context.node().audit().refused();
    // What belongs to the cluster itself is not ours to judge.
    refused.retain(|request| {
        !request
            .user
            .starts_with("system:serviceaccount:kube-system:")
    });
    assert!(refused.is_empty(), "{refused:#?}");
}
