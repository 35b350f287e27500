//! Names: at their limits they work, beyond them the API server refuses, and nothing reaches into another namespace.

use claw_crds::{Channel, ModelRoute};
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};

use crate::{
    context::{Case, Context, cases},
    hostile::{apply, channel, config, gateway, is_unharmed, route, town},
    operator::Operator,
};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        the_longest_names_work,
        names_beyond_the_limits_are_refused,
        lists_beyond_the_limits_are_refused,
        a_route_reaches_no_gateway_of_another_namespace,
        no_field_names_another_namespace,
    ]
}

const PROGRAMMED: (&str, &str, &str) = ("Programmed", "True", "Programmed");

async fn the_longest_names_work(context: Context) {
    let long = format!("g{}", "x".repeat(49));
    let operator = town(&context, &long).await;
    // A DNS subdomain: as long as the API server takes.
    let name = format!("{}.{}", "r".repeat(63), "o".repeat(189));
    let attached = [
        route(&long, &name, "^/long"),
        channel(&long, &"c".repeat(63)),
    ];
    apply(&context, &attached).await;
    context.reports::<ModelRoute>(&name, PROGRAMMED).await;
    context
        .reports::<Channel>(&"c".repeat(63), PROGRAMMED)
        .await;
    assert!(context.find::<Deployment>(&long).await.is_some());
    is_unharmed(&context, &operator).await;
}

/// The API server's message for an object that it refuses.
async fn refusal(context: &Context, object: &Value) -> String {
    let refused = context.kubectl().apply(&object.to_string()).await;
    refused.expect_err("refused").to_string()
}

fn gateway_object(name: &str) -> Value {
    let yaml = gateway(name);
    let (first, _) = yaml.split_once("---").expect("two objects");
    serde_yaml::from_str(first).expect("YAML")
}

async fn names_beyond_the_limits_are_refused(context: Context) {
    let operator = town(&context, "victim").await;
    for (name, part) in [
        ("g".repeat(51), "at most 50"),
        ("1st".to_owned(), "starting with a letter"),
        ("a.b".to_owned(), "lower-case letters"),
        ("Ünï".to_owned(), "RFC 1123"),
        ("../../etc".to_owned(), "may not contain '/'"),
    ] {
        let mut object = gateway_object("x");
        object["metadata"]["name"] = json!(name);
        let message = refusal(&context, &object).await;
        assert!(message.contains(part), "{name}: {message}");
    }
    let message = refusal(&context, &route("victim", &"r".repeat(254), "^/x")).await;
    assert!(message.contains("no more than 253"), "{message}");
    is_unharmed(&context, &operator).await;
}

async fn lists_beyond_the_limits_are_refused(context: Context) {
    let operator = town(&context, "victim").await;
    let mut many = route("victim", "many", "^/x");
    let rule = many["spec"]["routes"][0].clone();
    many["spec"]["routes"] = json!(vec![rule; 257]);
    let message = refusal(&context, &many).await;
    assert!(message.contains("spec.routes"), "{message}");
    let long = route("victim", "long", &"x".repeat(1025));
    let message = refusal(&context, &long).await;
    assert!(message.contains("spec.routes[0].pattern"), "{message}");
    let mut object = gateway_object("models");
    let model = object["spec"]["models"][0].clone();
    object["spec"]["models"] = json!(vec![model; 2000]);
    let message = refusal(&context, &object).await;
    assert!(message.contains("spec.models"), "{message}");
    let mut crowd = channel("victim", "crowd");
    crowd["spec"]["access"] = json!({"allowFrom": vec!["x/y"; 1001]});
    let message = refusal(&context, &crowd).await;
    assert!(message.contains("spec.access.allowFrom"), "{message}");
    is_unharmed(&context, &operator).await;
}

/// Another namespace of the test, gone with `Elsewhere::end`.
struct Elsewhere(Context);

impl Elsewhere {
    async fn begin(context: &Context) -> Self {
        let namespace = format!("{}-b", context.namespace);
        context.run(["create", "namespace", &namespace]).await;
        Self(Context {
            namespace,
            ..context.clone()
        })
    }

    async fn end(self) {
        let namespace = &self.0.namespace;
        let delete = ["delete", "namespace", namespace, "--wait=false"];
        self.0.run(delete).await;
    }
}

async fn a_route_reaches_no_gateway_of_another_namespace(context: Context) {
    let operator = town(&context, "victim").await;
    let elsewhere = Elsewhere::begin(&context).await;
    let other = Operator::start(&elsewhere.0).await;
    apply(&elsewhere.0, &[route("victim", "intruder", "^/intruder")]).await;
    let message = elsewhere
        .0
        .reports::<ModelRoute>("intruder", ("ResolvedRefs", "False", "GatewayNotFound"))
        .await;
    assert!(message.contains("victim"), "{message}");
    is_unharmed(&context, &operator).await;
    let config = config(&context, "victim").await.expect("rendered");
    assert!(!config.to_string().contains("intruder"), "{config}");
    other.terminate().await;
    elsewhere.end().await;
}

async fn no_field_names_another_namespace(context: Context) {
    let operator = town(&context, "victim").await;
    let mut astray = route("victim", "astray", "^/x");
    astray["spec"]["gatewayRef"]["namespace"] = json!("default");
    let message = refusal(&context, &astray).await;
    assert!(
        message.contains(".namespace: field not declared in schema"),
        "{message}"
    );
    let mut thief = gateway_object("thief");
    thief["spec"]["models"][0]["remote"]["credentials"] =
        json!({"secretKeyRef": {"namespace": "kube-system", "name": "x", "key": "y"}});
    let message = refusal(&context, &thief).await;
    assert!(
        message.contains(".namespace: field not declared in schema"),
        "{message}"
    );
    // Nor is a path, or a part of a URL, a name.
    for name in [
        "../default/keys",
        "a/b",
        "?limit=1",
        "keys?x",
        "x#y",
        "%2e%2e",
        " ",
    ] {
        thief["spec"]["models"][0]["remote"]["credentials"] =
            json!({"secretKeyRef": {"name": name, "key": "y"}});
        let message = refusal(&context, &thief).await;
        let field = "spec.models[0].remote.credentials.secretKeyRef.name";
        assert!(message.contains(field), "{message}");
    }
    is_unharmed(&context, &operator).await;
}
