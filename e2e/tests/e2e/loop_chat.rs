//! The loop closed: what the operator rendered and issued is what a gateway serves, to callers that hold a key.

use claw_crds::ModelRoute;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    context::{Case, Context, cases},
    fixtures::{API_KEY, GATEWAY, shop},
    gateway::{Gateway, content, message, streamed_content},
    operator::Operator,
    upstream::{Upstream, words},
};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        a_chat_is_answered_over_the_issued_certificate,
        an_edited_route_is_served,
        a_gateway_may_read_its_own_configuration_and_nothing_else,
    ]
}

/// Everything between YAML and an answer.
struct Loop {
    upstream: Upstream,
    operator: Operator,
    gateway: Gateway,
}

impl Loop {
    async fn close(context: &Context) -> Self {
        let upstream = Upstream::start().await;
        let operator = Operator::start(context).await;
        let objects = shop(&upstream.base_url());
        context.kubectl().apply(&objects).await.expect("applied");
        let gateway = Gateway::start(context, GATEWAY).await;
        let programmed = ("Programmed", "True", "Programmed");
        context.reports::<ModelRoute>("pages", programmed).await;
        gateway.knows(context, API_KEY).await;
        Self {
            upstream,
            operator,
            gateway,
        }
    }

    /// The gateway drains; the others are ended by their owners.
    async fn open(self) {
        let Self {
            upstream,
            operator,
            gateway,
        } = self;
        gateway.terminate().await;
        operator.terminate().await;
        drop(upstream);
    }
}

async fn a_chat_is_answered_over_the_issued_certificate(context: Context) {
    let whole = Loop::close(&context).await;
    let gateway = &whole.gateway;
    let client = gateway.client();
    let question = message("hello");

    let answer = gateway
        .chat(&client, "/ask", &question)
        .bearer_auth(API_KEY)
        .send();
    let answer = answer.await.expect("answered over TLS");
    assert_eq!(answer.status(), StatusCode::OK);
    let answer: Value = answer.json().await.expect("JSON");
    assert_eq!(content(&answer), words("upstream-big"), "{answer:#}");

    let mut streaming = question.clone();
    streaming["stream"] = json!(true);
    let answer = gateway
        .chat(&client, "/think", &streaming)
        .bearer_auth(API_KEY)
        .send();
    let body = answer.await.expect("answered").text().await.expect("text");
    assert_eq!(
        streamed_content(&body),
        (words("upstream-bigger"), true),
        "{body}"
    );

    let mut named = question.clone();
    named["model"] = json!("bigger");
    let answer = gateway
        .chat(&client, "/v1/chat/completions", &named)
        .bearer_auth(API_KEY)
        .send();
    let answer: Value = answer.await.expect("answered").json().await.expect("JSON");
    assert_eq!(content(&answer), words("upstream-bigger"), "{answer:#}");

    for refused in [
        gateway.chat(&client, "/ask", &question),
        gateway
            .chat(&client, "/ask", &question)
            .bearer_auth("key-of-somebody-else-0123456789"),
    ] {
        let answer = refused.send().await.expect("answered");
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    }
    is_tls_1_3_under_its_own_name(gateway).await;
    whole.open().await;
}

async fn is_tls_1_3_under_its_own_name(gateway: &Gateway) {
    let old = gateway
        .trusting()
        .tls_version_max(reqwest::tls::Version::TLS_1_2);
    let old = old.build().expect("a client");
    let refused = old.get(gateway.url("/v1/models")).send().await;
    assert!(refused.expect_err("TLS 1.2 is refused").is_connect());

    let client = gateway.client();
    let answer = client
        .get(gateway.url("/v1/models"))
        .bearer_auth(API_KEY)
        .send()
        .await;
    let models: Value = answer.expect("answered").json().await.expect("JSON");
    let names: Vec<&str> = models["data"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|model| model["id"].as_str())
        .collect();
    assert_eq!(names, ["big", "bigger"]);

    // Whoever does not trust the gateway's own authority does not get through.
    let stranger = reqwest::Client::builder()
        .resolve(&gateway.host, gateway.address)
        .build()
        .expect("a client");
    let refused = stranger.get(gateway.url("/v1/models")).send().await;
    assert!(refused.is_err(), "an unknown authority was trusted");
}

async fn an_edited_route_is_served(context: Context) {
    let whole = Loop::close(&context).await;
    let gateway = &whole.gateway;
    let client = gateway.client();
    let ask = async |path: &str| {
        let request = gateway
            .chat(&client, path, &message("hello"))
            .bearer_auth(API_KEY);
        request.send().await.expect("answered")
    };
    assert_eq!(ask("/fresh").await.status(), StatusCode::NOT_FOUND);
    let edit = r#"{"spec": {"routes": [{"pattern": "^/fresh", "model": "bigger"}]}}"#;
    context
        .run(["patch", "mr/pages", "--type=merge", "--patch", edit])
        .await;
    context
        .eventually("the new route is served", async || {
            let answer = ask("/fresh").await;
            (answer.status() == StatusCode::OK).then_some(())
        })
        .await;
    assert_eq!(ask("/ask").await.status(), StatusCode::NOT_FOUND);

    // A route that cannot work changes nothing for those that do.
    let broken = r#"{"spec": {"routes": [{"pattern": "^/a(b", "model": "big"}]}}"#;
    let created = format!(
        r#"{{"apiVersion": "claw.dev/v1alpha1", "kind": "ModelRoute", "metadata": {{"name": "broken"}},
             "spec": {{"gatewayRef": {{"name": "{GATEWAY}"}}, "routes": [{{"pattern": "^/b", "model": "big"}}]}}}}"#
    );
    context.kubectl().apply(&created).await.expect("applied");
    context
        .run(["patch", "mr/broken", "--type=merge", "--patch", broken])
        .await;
    context
        .reports::<ModelRoute>("broken", ("Accepted", "False", "Invalid"))
        .await;
    assert_eq!(ask("/fresh").await.status(), StatusCode::OK);
    whole.open().await;
}

async fn a_gateway_may_read_its_own_configuration_and_nothing_else(context: Context) {
    let whole = Loop::close(&context).await;
    let account = format!("--as=system:serviceaccount:{}:{GATEWAY}", context.namespace);
    let may = async |verb: &str, what: &str| {
        let asked = context
            .kubectl()
            .run(["auth", "can-i", verb, what, &account])
            .await;
        asked.is_ok_and(|output| output.stdout == "yes")
    };
    for verb in ["get", "watch"] {
        assert!(may(verb, "secrets/helpdesk-config").await, "{verb}");
    }
    for (verb, what) in [
        ("get", "secrets/helpdesk-ca"),
        ("get", "secrets/provider"),
        ("list", "secrets"),
        ("patch", "secrets/helpdesk-config"),
        ("patch", "clawgateways/helpdesk"),
        ("get", "pods"),
    ] {
        assert!(!may(verb, what).await, "the gateway may {verb} {what}");
    }
    whole.open().await;
}
