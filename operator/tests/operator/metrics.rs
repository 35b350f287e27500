//! What a scrape of a working operator finds, against the catalog of metrics.

use claw_crds::metric_catalog::{operator, scrape};
use claw_operator::metrics::Metrics;

use crate::{
    gateways,
    harness::{Operator, until_reconciled},
};

#[tokio::test]
async fn a_working_operator_exports_the_whole_catalog_and_nothing_else() {
    let api = gateways::full();
    let running = Operator::start(&api);
    until_reconciled(&running, 1).await;
    let metrics: Metrics = running.metrics.clone();
    running.stop().await;
    // What only a client that is broken, or a real one, brings about.
    metrics.watch_failed("ClawGateway");
    metrics.reconciled("ClawGateway", std::time::Duration::ZERO, Some("Apply"));
    let client = tower::service_fn(|_: http::Request<()>| async { Ok::<_, std::io::Error>(()) });
    let mut counted = tower::Layer::layer(&metrics.count_writes(), client);
    let write = http::Request::delete("/api/v1/namespaces/shop/secrets/desk").body(());
    tower::Service::call(&mut counted, write.expect("a request"))
        .await
        .expect("answered");

    let found = scrape::found(&metrics.encode());
    assert_eq!(found, scrape::promised(operator::ALL));
    let depth = r#"claw_operator_queue_depth{kind="ClawGateway"} 0"#;
    assert!(metrics.encode().contains(depth), "{}", metrics.encode());
}
