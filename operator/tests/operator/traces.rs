//! The spans of reconciles.

use claw_telemetry::{Traces, receiver::Receiver};
use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    gateways,
    harness::{Operator, until_reconciled},
};

#[tokio::test]
async fn a_reconcile_is_a_span_that_names_its_object_and_no_secret() {
    let receiver = Receiver::start().await.expect("a port");
    let traces = Traces::to_endpoint(&receiver.endpoint, "operator-under-test").expect("set up");
    // Of the whole process: with a subscriber of one thread, a test on another thread that comes first to a span
    // turns the span off for all. Other tests may so add spans of theirs.
    let subscriber = tracing_subscriber::registry().with(traces.layer("claw_operator"));
    subscriber.try_init().expect("the only one");
    tracing::callsite::rebuild_interest_cache();
    let operator = Operator::start(&gateways::full());
    until_reconciled(&operator, 1).await;
    operator.stop().await;
    let sending = tokio::task::spawn_blocking(move || traces.finish());
    let span = receiver.span("reconcile").await.expect("a span");
    sending.await.expect("finished");
    let fields: Vec<&str> = span
        .attributes
        .iter()
        .map(|attribute| &*attribute.key)
        .collect();
    for field in ["kind", "namespace", "name"] {
        assert!(fields.contains(&field), "{field} is not in {fields:?}");
    }
    let sent = String::from_utf8_lossy(&receiver.bytes()).into_owned();
    for text in ["operator-under-test", "ClawGateway", "shop", "helpdesk"] {
        assert!(sent.contains(text), "{text} was not sent");
    }
    assert!(!sent.contains("sk-upstream") && !sent.contains("PRIVATE KEY"));
}
