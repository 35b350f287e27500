//! Who wrote how much, as the API server tells.

use std::time::{Duration, Instant};

use claw_e2e::{Cluster, wait::until};
use kube::Client;
use libtest_mimic::Failed;

use crate::{operator, scenario::DEADLINE};

/// Without writes for so long, everything has settled: the controllers of Kubernetes have caught up, too.
const SETTLED: Duration = Duration::from_secs(5);

/// Wait until nobody writes any more.
pub(crate) async fn settle(cluster: &Cluster) -> Result<(), Failed> {
    let (mut count, mut since) = (0, Instant::now());
    let settled = until(DEADLINE, async || {
        let now = cluster
            .audit()?
            .writes()
            .iter()
            .filter(|write| write.resource != "leases")
            .count();
        if now != count {
            (count, since) = (now, Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        (since.elapsed() >= SETTLED).then_some(())
    });
    settled.await.ok_or_else(|| "somebody keeps writing".into())
}

/// What the operator has written, but for its Lease.
pub(crate) fn own(cluster: &Cluster) -> Result<Vec<String>, Failed> {
    let audit = cluster
        .audit()
        .ok_or("this needs a control plane of its own")?;
    let user = operator::user();
    let writes = audit.writes().into_iter();
    let own = writes.filter(|write| write.user == user && write.resource != "leases");
    Ok(own
        .map(|write| {
            format!(
                "{} {} {}/{}",
                write.verb, write.resource, write.namespace, write.name
            )
        })
        .collect())
}

/// How many writes the API server has counted, by anybody, but for Leases.
pub(crate) async fn counted(client: &Client) -> Result<u64, Failed> {
    let request = http::Request::get("/metrics").body(Vec::new())?;
    let metrics = client.request_text(request).await?;
    let is_write = |line: &&str| {
        line.starts_with("apiserver_request_total{")
            && !line.contains("resource=\"leases\"")
            && [
                "POST",
                "PUT",
                "PATCH",
                "APPLY",
                "DELETE",
                "DELETECOLLECTION",
            ]
            .iter()
            .any(|verb| line.contains(&format!("verb=\"{verb}\"")))
    };
    let counts = metrics.lines().filter(is_write);
    Ok(counts
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum())
}
