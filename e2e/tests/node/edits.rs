//! Route edits in the cluster: how long each takes until it is served, and that no request fails meanwhile.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use claw_crds::ModelRoute;
use claw_e2e::{
    cases,
    testing::{Case, Context},
};
use serde_json::json;

use crate::{
    load::{self, ask},
    shop::{self, ROUTE},
};

pub(crate) fn cases() -> Vec<Case> {
    let cases = cases![a_hundred_edits_in_the_cluster_are_served_and_lose_no_request];
    cases.into_iter().map(Case::alone).collect()
}

const EDITS: usize = 100;
/// Of each client between two questions: some eighty a second in all.
const PAUSE: Duration = Duration::from_millis(40);
/// Generous: the figure itself is printed and belongs into docs/performance.md.
const BOUND: Duration = Duration::from_secs(3);

async fn a_hundred_edits_in_the_cluster_are_served_and_lose_no_request(context: Context) {
    let gateway = shop::open(&context).await;
    let edits = async {
        let client = gateway.client();
        let mut times = Vec::new();
        for number in 0..EDITS {
            let model = if number % 2 == 0 { "bigger" } else { "big" };
            let routes = json!({"spec": {"routes": [{"pattern": "^/ask", "model": model}]}});
            let start = Instant::now();
            context.edit::<ModelRoute>(ROUTE, &routes).await;
            while ask(&gateway, &client).await.as_deref() != Ok(model) {
                assert!(start.elapsed() < BOUND, "edit {number} is not served");
            }
            times.push(start.elapsed());
        }
        times
    };
    let (mut times, tally) = load::paced(&gateway, PAUSE, edits).await;
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() * percent).div_ceil(100) - 1].as_millis();
    let _ = writeln!(
        std::io::stderr(),
        "in-cluster route edit to served, {EDITS} edits under load: p50 {} ms, p99 {} ms, {} requests answered, {} failed",
        at(50),
        at(99),
        tally.answered,
        tally.failures.len(),
    );
    tally.expect_none_tried_again();
}
