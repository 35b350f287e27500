//! References: what is missing is told within a second, what comes back is taken up, and one broken object never
//! holds up another.

use std::time::{Duration, Instant};

use claw_crds::{Channel, ClawGateway, ModelRoute, pki};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

use crate::{
    context::{Case, Context, cases},
    fixtures::{GATEWAY, idle_shop},
    operator::Operator,
};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        a_deleted_secret_shows_within_a_second_and_its_return_is_taken_up,
        a_broken_route_leaves_the_others_serving,
        a_route_to_an_unknown_model_names_those_there_are,
        a_route_without_a_gateway_waits_for_it,
        api_keys_come_and_go_with_their_secret,
        authorities_in_a_config_map_are_taken_up,
    ]
}

const RESOLVED: (&str, &str, &str) = ("ResolvedRefs", "True", "ResolvedRefs");
const SECRET_NOT_FOUND: (&str, &str, &str) = ("ResolvedRefs", "False", "SecretNotFound");

async fn shop(context: &Context) -> Operator {
    let operator = Operator::start(context).await;
    context
        .kubectl()
        .apply(&idle_shop())
        .await
        .expect("applied");
    context.reports::<ClawGateway>(GATEWAY, RESOLVED).await;
    context.reports::<Channel>("bot", RESOLVED).await;
    operator
}

async fn delete_secret(context: &Context, name: &str) -> Instant {
    context.delete::<Secret>(name).await;
    Instant::now()
}

/// What the design promises of a deleted reference; measured at some ten milliseconds, so it holds on a busy machine.
const WITHIN: Duration = Duration::from_secs(1);

async fn a_deleted_secret_shows_within_a_second_and_its_return_is_taken_up(context: Context) {
    let _operator = shop(&context).await;
    let deleted = delete_secret(&context, "bot").await;
    let message = context.reports::<Channel>("bot", SECRET_NOT_FOUND).await;
    let took = deleted.elapsed();
    assert!(took < WITHIN, "it took {took:?} until the condition told");
    assert!(
        message.contains("\"bot\"") && message.contains("create it"),
        "{message}"
    );

    let deleted = delete_secret(&context, "provider").await;
    let message = context
        .reports::<ClawGateway>(GATEWAY, SECRET_NOT_FOUND)
        .await;
    let took = deleted.elapsed();
    assert!(took < WITHIN, "it took {took:?} until the condition told");
    assert!(
        message.contains("spec.models[0].remote.credentials"),
        "{message}"
    );
    assert!(message.contains("\"provider\""), "{message}");

    context
        .kubectl()
        .apply(&idle_shop())
        .await
        .expect("applied");
    context.reports::<Channel>("bot", RESOLVED).await;
    context.reports::<ClawGateway>(GATEWAY, RESOLVED).await;
}

fn route(name: &str, routes: &str) -> String {
    format!(
        "{{apiVersion: claw.dev/v1alpha1, kind: ModelRoute, metadata: {{name: {name}}}, \
         spec: {{gatewayRef: {{name: {GATEWAY}}}, routes: [{routes}]}}}}\n"
    )
}

async fn config(context: &Context) -> Value {
    let secret = context.find::<Secret>(&format!("{GATEWAY}-config")).await;
    let data = secret.and_then(|secret| secret.data).unwrap_or_default();
    let bytes = data.get("config.json").expect("rendered");
    serde_json::from_slice(&bytes.0).expect("a configuration is JSON")
}

async fn a_broken_route_leaves_the_others_serving(context: Context) {
    let _operator = shop(&context).await;
    let broken = route("broken", "{pattern: '^/a(b', model: big}");
    context.kubectl().apply(&broken).await.expect("applied");
    let message = context
        .reports::<ModelRoute>("broken", ("Accepted", "False", "Invalid"))
        .await;
    for part in ["spec.routes[0].pattern", "^/a(b", "RE2"] {
        assert!(message.contains(part), "{message}\nlacks {part}");
    }
    context
        .reports::<ModelRoute>("pages", ("Accepted", "True", "Accepted"))
        .await;
    let good = route("good", "{pattern: ^/later, model: big}");
    context.kubectl().apply(&good).await.expect("applied");
    context
        .reports::<ModelRoute>("good", ("Programmed", "True", "Programmed"))
        .await;
    let patterns = config(&context).await["routes"].to_string();
    assert!(
        patterns.contains("^/ask") && patterns.contains("^/later"),
        "{patterns}"
    );
    assert!(!patterns.contains("^/a(b"), "{patterns}");
}

async fn a_route_to_an_unknown_model_names_those_there_are(context: Context) {
    let _operator = shop(&context).await;
    let astray = route("astray", "{pattern: ^/astray, model: huge, fallback: big}");
    context.kubectl().apply(&astray).await.expect("applied");
    let message = context
        .reports::<ModelRoute>("astray", ("ResolvedRefs", "False", "ModelNotFound"))
        .await;
    for part in ["spec.routes[0].model", "\"huge\"", "big, bigger"] {
        assert!(message.contains(part), "{message}\nlacks {part}");
    }
    // The rule serves with the target that exists.
    let routes = config(&context).await["routes"].clone();
    let rules = routes.as_array().into_iter().flatten();
    let rule = rules.into_iter().find(|rule| rule["pattern"] == "^/astray");
    assert_eq!(
        rule.expect("it is in the table")["targets"],
        serde_json::json!(["big"])
    );
}

async fn a_route_without_a_gateway_waits_for_it(context: Context) {
    let _operator = Operator::start(&context).await;
    let early = route("early", "{pattern: ^/early, model: big}");
    context.kubectl().apply(&early).await.expect("applied");
    let message = context
        .reports::<ModelRoute>("early", ("ResolvedRefs", "False", "GatewayNotFound"))
        .await;
    assert!(message.contains(GATEWAY), "{message}");
    context
        .kubectl()
        .apply(&idle_shop())
        .await
        .expect("applied");
    context
        .reports::<ModelRoute>("early", ("Programmed", "True", "Programmed"))
        .await;
}

async fn api_keys_come_and_go_with_their_secret(context: Context) {
    let _operator = shop(&context).await;
    let more = format!(
        "{{apiVersion: v1, kind: Secret, metadata: {{name: more, labels: {{shop/keys: {GATEWAY}}}}}, \
         stringData: {{app: another-key-of-enough-length}}}}"
    );
    context.kubectl().apply(&more).await.expect("applied");
    let is_known = async || {
        config(&context).await["auth"]
            .to_string()
            .contains("more/app")
    };
    context
        .eventually("the new key is known", async || {
            is_known().await.then_some(())
        })
        .await;
    delete_secret(&context, "more").await;
    context
        .eventually("the key is revoked", async || {
            (!is_known().await).then_some(())
        })
        .await;
    let text = config(&context).await.to_string();
    assert!(
        !text.contains(crate::fixtures::API_KEY),
        "keys are stored hashed"
    );
}

async fn authorities_in_a_config_map_are_taken_up(context: Context) {
    let _operator = shop(&context).await;
    let place = json!({"configMapKeyRef": {"name": "callers", "key": "ca.crt"}});
    let change = json!({"spec": {
        "auth": {"clientCertificates": {"caCertificate": place}},
    }});
    context.edit::<ClawGateway>(GATEWAY, &change).await;
    let missing = ("ResolvedRefs", "False", "ConfigMapNotFound");
    let message = context.reports::<ClawGateway>(GATEWAY, missing).await;
    let field = "spec.auth.clientCertificates.caCertificate.configMapKeyRef.name";
    assert!(message.contains(field), "{message}");

    let issued = pki::issue(
        &pki::Store::default(),
        &["callers".into()],
        Timestamp::now(),
    );
    let issued = issued.expect("issued").ca.expect("an authority");
    let authority = issued.certificate_pem;
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "callers"},
        "data": {"ca.crt": authority},
    });
    context
        .kubectl()
        .apply(&map.to_string())
        .await
        .expect("applied");
    context.reports::<ClawGateway>(GATEWAY, RESOLVED).await;
    let taken = config(&context).await["identities"]["clientCertificates"]["authorities"].clone();
    assert_eq!(taken, authority);
}
