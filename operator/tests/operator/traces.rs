//! The spans of reconciles.

use claw_telemetry::{Traces, receiver::Receiver};
use tracing_subscriber::layer::SubscriberExt;

use crate::{
    fake_api::FakeApi,
    gateways,
    harness::{Operator, until_reconciled},
};

#[tokio::test]
async fn a_reconcile_is_a_span_that_names_its_object_and_no_secret() {
    let receiver = Receiver::start().await.expect("a port");
    let traces = Traces::to_endpoint(&receiver.endpoint, "operator-under-test").expect("set up");
    // Of this thread, on which the test's runtime runs everything.
    let subscriber = tracing_subscriber::registry().with(traces.layer("claw_operator"));
    let _guard = tracing::subscriber::set_default(subscriber);
    let api: FakeApi = gateways::full();
    let operator = Operator::start(&api);
    until_reconciled(&operator, 1).await;
    operator.stop().await;
    let sending = tokio::task::spawn_blocking(move || traces.finish());
    let span = receiver.span("reconcile").await.expect("a span");
    sending.await.expect("finished");
    let attributes = format!("{:?}", span.attributes);
    for name in ["ClawGateway", "shop", "helpdesk"] {
        assert!(attributes.contains(name), "{name} is not in {attributes}");
    }
    let sent = String::from_utf8_lossy(&receiver.bytes()).into_owned();
    assert!(sent.contains("operator-under-test"));
    assert!(!sent.contains("sk-upstream") && !sent.contains("PRIVATE KEY"));
}
