//! The cluster itself fails: API server, store, and the whole node.

use std::time::Duration;

use claw_crds::ModelRoute;
use claw_e2e::{
    cases,
    node::Component,
    testing::{Case, Context},
};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::{
    load::{self, ask},
    shop::{self, ROUTE},
};

pub(crate) fn cases() -> Vec<Case> {
    let cases = cases![
        the_gateway_serves_through_restarts_of_api_server_and_store,
        everything_comes_back_after_a_reboot_of_the_node,
    ];
    cases.into_iter().map(Case::alone).collect()
}

const RECOVERY: Duration = Duration::from_mins(3);

async fn the_gateway_serves_through_restarts_of_api_server_and_store(context: Context) {
    let gateway = shop::open(&context).await;
    let faults = async {
        let client = gateway.client();
        for (component, model) in [(Component::ApiServer, "bigger"), (Component::Etcd, "big")] {
            context.node().kill(component).await.expect("killed");
            // Served by a gateway that cannot reach the API server.
            ask(&gateway, &client).await.expect("answered");
            context
                .node()
                .start_again(component)
                .await
                .expect("started");
            // The watches of operator and gateway come back by themselves.
            let routes = json!({"spec": {"routes": [{"pattern": "^/ask", "model": model}]}});
            context
                .within(RECOVERY, "the API server takes an edit", async || {
                    let route = context.api::<ModelRoute>();
                    let patch = Patch::Merge(&routes);
                    let parameters = PatchParams::default();
                    route.patch(ROUTE, &parameters, &patch).await.ok()
                })
                .await;
            context
                .within(RECOVERY, "the edit is served", async || {
                    let answer = ask(&gateway, &client).await;
                    (answer.as_deref() == Ok(model)).then_some(())
                })
                .await;
        }
    };
    let ((), tally) = load::during(&gateway, faults).await;
    tally.expect_none_tried_again();
}

async fn everything_comes_back_after_a_reboot_of_the_node(context: Context) {
    let gateway = shop::open(&context).await;
    context.node().reboot().await.expect("booted");
    let client = gateway.client();
    let serves = async |model: &str| {
        context
            .within(RECOVERY, "the gateway serves again", async || {
                let answer = ask(&gateway, &client).await;
                (answer.as_deref() == Ok(model)).then_some(())
            })
            .await;
    };
    serves("big").await;
    let routes = json!({"spec": {"routes": [{"pattern": "^/ask", "model": "bigger"}]}});
    context.edit::<ModelRoute>(ROUTE, &routes).await;
    serves("bigger").await;
}
