//! Objects of kinds that a cluster may have or not: they come with their kind, are kept as wanted, and go with it without
//! harm, all while the operator runs.

use claw_crds::ClawGateway;
use claw_operator::kinds::{Certificate, HttpRoute, PodMonitor, PrometheusRule};
use k8s_openapi::{
    api::core::v1::Secret,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{Api, Resource, api::DeleteParams};
use serde_json::{Value, json};

use crate::{
    context::{Case, Context, cases},
    fixtures::GATEWAY,
    operator::Operator,
};

pub(crate) fn cases() -> Vec<Case> {
    // Kinds are of the whole cluster: other tests would see them come and go.
    cases![optional_objects_come_and_go_with_their_kinds]
        .into_iter()
        .map(Case::alone)
        .collect()
}

/// A definition that takes any spec, as far as the operator cares.
fn definition<K: Resource<DynamicType = ()>>() -> Value {
    let (plural, kind, group) = (K::plural(&()), K::kind(&()), K::group(&()));
    let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{plural}.{group}"),
            // Else a group that ends in k8s.io is refused.
            "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
        },
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
            "versions": [{
                "name": K::version(&()), "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": any, "status": any}}},
            }],
        },
    })
}

fn definitions() -> [Value; 4] {
    [
        definition::<HttpRoute>(),
        definition::<PodMonitor>(),
        definition::<PrometheusRule>(),
        definition::<Certificate>(),
    ]
}

pub(crate) async fn install(context: &Context) {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": definitions()});
    let applied = context.kubectl().apply(&list.to_string()).await;
    applied.expect("the definitions are taken");
}

pub(crate) async fn remove(context: &Context) {
    let api: Api<CustomResourceDefinition> = Api::all(context.client.clone());
    for definition in definitions() {
        let name = definition["metadata"]["name"].as_str().unwrap_or_default();
        let deleted = api.delete(name, &DeleteParams::default()).await;
        deleted.expect("deleted");
    }
    context
        .eventually("the definitions are gone", async || {
            let list = api
                .list_metadata(&kube::api::ListParams::default())
                .await
                .ok()?;
            let names: Vec<String> = list
                .items
                .into_iter()
                .filter_map(|item| item.metadata.name)
                .collect();
            let is_left = |definition: &Value| {
                names
                    .iter()
                    .any(|name| definition["metadata"]["name"] == *name)
            };
            (!definitions().iter().any(is_left)).then_some(())
        })
        .await;
}

async fn apply(context: &Context) {
    let gateway = json!({
        "apiVersion": "claw.dev/v1alpha1", "kind": "ClawGateway", "metadata": {"name": GATEWAY},
        "spec": {
            "models": [{"name": "small", "local": {"source": {"path": "/models/small"}}}],
            "auth": {"anonymous": {}},
            "httpRoute": {"parentRefs": [{"name": "edge"}], "hostnames": ["chat.example.com"]},
        },
    });
    let applied = context.kubectl().apply(&gateway.to_string()).await;
    applied.expect("applied");
}

async fn optional_objects_come_and_go_with_their_kinds(context: Context) {
    let operator = Operator::start(&context).await;
    apply(&context).await;
    let missing = ("ResolvedRefs", "False", "KindNotFound");
    let message = context.reports::<ClawGateway>(GATEWAY, missing).await;
    assert!(message.starts_with("spec.httpRoute"), "{message}");
    let programmed = ("Programmed", "True", "Programmed");
    context.reports::<ClawGateway>(GATEWAY, programmed).await;

    install(&context).await;
    let route = json!({"spec": {
        "parentRefs": [{"name": "edge"}], "rules": [{"backendRefs": [{"name": GATEWAY, "port": 18789}]}],
    }});
    context.becomes::<HttpRoute>(GATEWAY, &route).await;
    let monitor = json!({"spec": {"podMetricsEndpoints": [{"port": "management"}]}});
    context.becomes::<PodMonitor>(GATEWAY, &monitor).await;
    context
        .becomes::<PrometheusRule>(GATEWAY, &json!({"kind": "PrometheusRule"}))
        .await;
    let resolved = ("ResolvedRefs", "True", "ResolvedRefs");
    context.reports::<ClawGateway>(GATEWAY, resolved).await;

    // Kept as wanted, like any other child.
    let drift = json!({"spec": {"hostnames": ["evil.example.com"]}});
    context.edit::<HttpRoute>(GATEWAY, &drift).await;
    let hostnames = json!({"spec": {"hostnames": ["chat.example.com"]}});
    context.becomes::<HttpRoute>(GATEWAY, &hostnames).await;

    a_certificate_is_asked_for_and_used(&context).await;

    let switched_off =
        json!({"spec": {"httpRoute": null, "observability": {"podMonitor": {"enabled": false}}}});
    context.edit::<ClawGateway>(GATEWAY, &switched_off).await;
    context.vanishes::<HttpRoute>(GATEWAY).await;
    context.vanishes::<PodMonitor>(GATEWAY).await;
    let switched_on = json!({"spec": {
        "httpRoute": {"parentRefs": [{"name": "edge"}]}, "tls": {"issuerRef": null, "selfSigned": {}},
    }});
    context.edit::<ClawGateway>(GATEWAY, &switched_on).await;
    context.becomes::<HttpRoute>(GATEWAY, &route).await;
    context.vanishes::<Certificate>(GATEWAY).await;

    remove(&context).await;
    context.reports::<ClawGateway>(GATEWAY, missing).await;
    context.reports::<ClawGateway>(GATEWAY, programmed).await;
    let writes = operator.writes().await;
    install(&context).await;
    context.becomes::<HttpRoute>(GATEWAY, &route).await;
    assert!(operator.writes().await > writes);
    remove(&context).await;
}

async fn a_certificate_is_asked_for_and_used(context: &Context) {
    let issuer =
        json!({"selfSigned": null, "issuerRef": {"name": "public", "kind": "ClusterIssuer"}});
    context
        .edit::<ClawGateway>(GATEWAY, &json!({"spec": {"tls": issuer}}))
        .await;
    let secret = format!("{GATEWAY}-issued-tls");
    let asked = json!({"spec": {
        "secretName": secret, "issuerRef": {"name": "public", "kind": "ClusterIssuer", "group": "cert-manager.io"},
    }});
    context.becomes::<Certificate>(GATEWAY, &asked).await;
    let message = context
        .reports::<ClawGateway>(GATEWAY, ("ResolvedRefs", "False", "SecretNotFound"))
        .await;
    assert!(message.contains(&secret), "{message}");

    // What cert-manager would do.
    let hosts = ["chat.example.com".to_owned()];
    let store = claw_crds::pki::issue(
        &claw_crds::pki::Store::default(),
        &hosts,
        jiff::Timestamp::now(),
    );
    let leaf = store.expect("issued").leaf.expect("a leaf");
    let filled = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": secret},
        "stringData": {"tls.crt": leaf.certificate_chain, "tls.key": leaf.private_key.expose()},
    });
    context
        .kubectl()
        .apply(&filled.to_string())
        .await
        .expect("applied");
    context
        .reports::<ClawGateway>(GATEWAY, ("Programmed", "True", "Programmed"))
        .await;
    let config = context.find::<Secret>(&format!("{GATEWAY}-config")).await;
    let config = config
        .and_then(|secret| secret.data)
        .and_then(|mut data| data.remove("config.json"));
    let config: Value = serde_json::from_slice(&config.expect("there").0).expect("JSON");
    assert_eq!(
        config["tls"]["certificateChain"],
        leaf.certificate_chain.as_str()
    );
}
