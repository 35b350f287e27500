//! A gateway's permissions: it reads its own configuration, and can neither read anything else nor write at all.

use std::fmt;

use claw_crds::{ClawGateway, ModelRoute};
use claw_e2e::{
    control_plane::client_from,
    service_account::{self, ServiceAccountRef},
};
use futures::{StreamExt, stream};
use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
    core::v1::{ConfigMap, Pod, Secret},
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams},
    discovery::{Discovery, Scope},
};
use serde_json::json;

use crate::{
    context::{Case, Context, cases},
    fixtures::{API_KEY, GATEWAY, idle_shop},
    gateway::Gateway,
    hostile::gateway,
    operator::Operator,
    rbac_usage::refused,
};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        nobody_grants_a_gateway_more_than_its_configuration,
        the_api_server_refuses_all_else_to_a_gateways_token,
        a_gateway_at_work_asks_for_nothing_else,
    ]
}

const VERBS: [&str; 8] = [
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
];
/// How many questions are open at once.
const AT_ONCE: usize = 16;

async fn programmed_shop(context: &Context) -> Operator {
    let operator = Operator::start(context).await;
    let applied = context.kubectl().apply(&idle_shop()).await;
    applied.expect("applied");
    let programmed = ("Programmed", "True", "Programmed");
    context.reports::<ClawGateway>(GATEWAY, programmed).await;
    operator
}

/// A resource, and one object of it where there is a name.
#[derive(Clone, Debug, PartialEq)]
struct What {
    namespace: String,
    group: String,
    resource: String,
    subresource: Option<String>,
    name: Option<String>,
}

impl fmt::Display for What {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            Some(&self.resource),
            self.subresource.as_ref(),
            self.name.as_ref(),
        ];
        let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
        formatter.write_str(&parts.join("/"))
    }
}

/// Whether the gateway's account may do this.
async fn is_allowed(context: &Context, verb: &str, what: &What) -> bool {
    let namespace = &context.namespace;
    let What {
        namespace: place,
        group,
        resource,
        subresource,
        name,
    } = what.clone();
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(format!("system:serviceaccount:{namespace}:{GATEWAY}")),
            groups: Some(vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{namespace}"),
                "system:authenticated".to_owned(),
            ]),
            resource_attributes: Some(ResourceAttributes {
                namespace: Some(place),
                verb: Some(verb.to_owned()),
                group: Some(group),
                resource: Some(resource),
                subresource,
                name,
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let reviews = Api::<SubjectAccessReview>::all(context.client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await;
    answer
        .expect("an answer")
        .status
        .is_some_and(|status| status.allowed)
}

/// Every namespaced resource of the cluster and every part of one, by kind and by the name of a Secret.
async fn everything(context: &Context) -> Vec<What> {
    let discovery = Discovery::new(context.client.clone())
        .run()
        .await
        .expect("discovered");
    let mut all = Vec::new();
    for group in discovery.groups() {
        for (resource, capabilities) in group.recommended_resources() {
            if capabilities.scope != Scope::Namespaced {
                continue;
            }
            let what = What {
                namespace: context.namespace.clone(),
                group: resource.group,
                resource: resource.plural,
                subresource: None,
                name: None,
            };
            let parts = capabilities.subresources.into_iter().map(|(part, _)| What {
                subresource: Some(part.plural),
                ..what.clone()
            });
            all.extend(parts);
            all.push(what);
        }
    }
    let secret = |namespace: &str, name: &str| What {
        namespace: namespace.to_owned(),
        group: String::new(),
        resource: "secrets".to_owned(),
        subresource: None,
        name: Some(name.to_owned()),
    };
    for name in ["config", "tls", "ca"] {
        all.push(secret(&context.namespace, &format!("{GATEWAY}-{name}")));
    }
    for name in [
        "provider",
        "bot",
        "keys",
        "till-config",
        "till-tls",
        "till-ca",
    ] {
        all.push(secret(&context.namespace, name));
    }
    all.push(secret("default", &format!("{GATEWAY}-config")));
    all
}

async fn nobody_grants_a_gateway_more_than_its_configuration(context: Context) {
    let _operator = programmed_shop(&context).await;
    let all = everything(&context).await;
    assert!(all.len() > 60, "{all:?}");
    let named: Vec<String> = all.iter().map(What::to_string).collect();
    for part in [
        "pods/exec",
        "pods/log",
        "serviceaccounts/token",
        "deployments/status",
        "clawgateways/status",
    ] {
        assert!(named.iter().any(|name| name == part), "{part}: {named:?}");
    }
    let context = &context;
    let questions: Vec<(&str, What)> = all
        .into_iter()
        .flat_map(|what| VERBS.map(|verb| (verb, what.clone())))
        .collect();
    let allowed: Vec<String> = stream::iter(questions)
        .map(|(verb, what)| async move {
            let is_allowed = is_allowed(context, verb, &what).await;
            is_allowed.then(|| format!("{verb} {what}"))
        })
        .buffered(AT_ONCE)
        .filter_map(async |answer| answer)
        .collect()
        .await;
    let expected = ["get", "list", "watch"].map(|verb| format!("{verb} secrets/{GATEWAY}-config"));
    assert_eq!(allowed, expected);
}

/// A client with the gateway's own token.
async fn gateway_client(context: &Context) -> Client {
    let path = context.directory().join("gateway-token.kubeconfig");
    let account = ServiceAccountRef {
        namespace: &context.namespace,
        name: GATEWAY,
    };
    let admin = context.cluster.kubeconfig();
    let written = service_account::write_kubeconfig(&context.client, account, admin, &path).await;
    written.expect("a token");
    client_from(&path).await.expect("a client")
}

fn is_forbidden<T>(answer: kube::Result<T>, what: &str) {
    match answer {
        Err(kube::Error::Api(status)) => assert_eq!(status.code, 403, "{what}"),
        Err(error) => unreachable!("{what}: {error}"),
        Ok(_) => unreachable!("{what} is allowed"),
    }
}

async fn the_api_server_refuses_all_else_to_a_gateways_token(context: Context) {
    let _operator = programmed_shop(&context).await;
    let till = context.kubectl().apply(&gateway("till")).await;
    till.expect("applied");
    let programmed = ("Programmed", "True", "Programmed");
    context.reports::<ClawGateway>("till", programmed).await;
    let client = gateway_client(&context).await;
    let namespace = &context.namespace;
    let own = format!("{GATEWAY}-config");
    let secrets = Api::<Secret>::namespaced(client.clone(), namespace);
    let read = secrets.get(&own).await.expect("its own configuration");
    assert_eq!(read.name_any(), own);

    for name in [
        "provider",
        "bot",
        "keys",
        "helpdesk-tls",
        "helpdesk-ca",
        "till-config",
        "till-tls",
        "till-ca",
    ] {
        // Not hidden by its absence.
        assert!(context.find::<Secret>(name).await.is_some(), "{name}");
        is_forbidden(secrets.get(name).await, name);
    }
    is_forbidden(
        secrets.list(&ListParams::default()).await,
        "listing Secrets",
    );
    let elsewhere = Api::<Secret>::namespaced(client.clone(), "default");
    is_forbidden(elsewhere.get(&own).await, "another namespace");
    let gateways = Api::<ClawGateway>::namespaced(client.clone(), namespace);
    is_forbidden(gateways.get(GATEWAY).await, "reading its own object");

    let post = PostParams::default();
    let label = Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}));
    let params = PatchParams::default();
    is_forbidden(secrets.patch(&own, &params, &label).await, "patching");
    is_forbidden(secrets.replace(&own, &post, &read).await, "updating");
    is_forbidden(
        secrets.delete(&own, &DeleteParams::default()).await,
        "deleting",
    );
    is_forbidden(
        gateways.patch_status(GATEWAY, &params, &label).await,
        "writing a status",
    );
    let metadata = ObjectMeta {
        name: Some("x".to_owned()),
        ..ObjectMeta::default()
    };
    let map = ConfigMap {
        metadata: metadata.clone(),
        ..ConfigMap::default()
    };
    let maps = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    is_forbidden(maps.create(&post, &map).await, "creating a ConfigMap");
    let pod = Pod {
        metadata,
        ..Pod::default()
    };
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    is_forbidden(pods.create(&post, &pod).await, "creating a pod");
    the_ways_around_are_refused(&client, namespace).await;
}

/// A shell in a pod, its log, a token, one's own status: each would give more than a Secret to read.
async fn the_ways_around_are_refused(client: &Client, namespace: &str) {
    let status = json!({"status": {"observedGeneration": 1}}).to_string();
    let token = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": []}});
    let token = token.to_string();
    for (method, group, path, body) in [
        ("POST", "api/v1", "pods/x/exec?command=id&stdout=true", ""),
        ("GET", "api/v1", "pods/x/exec?command=id&stdout=true", ""),
        ("GET", "api/v1", "pods/x/log", ""),
        ("POST", "api/v1", "pods/x/eviction", "{}"),
        ("POST", "api/v1", "serviceaccounts/helpdesk/token", &token),
        (
            "POST",
            "api/v1",
            "serviceaccounts/claw-operator/token",
            &token,
        ),
        (
            "PATCH",
            "apis/claw.dev/v1alpha1",
            "clawgateways/helpdesk/status",
            &status,
        ),
        ("PATCH", "apis/apps/v1", "deployments/helpdesk/scale", "{}"),
    ] {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("/{group}/namespaces/{namespace}/{path}"))
            .header("content-type", content_type(method))
            .body(body.as_bytes().to_vec())
            .expect("a request");
        let answer = client.request_text(request).await;
        is_forbidden(answer, &format!("{method} {path}"));
    }
}

fn content_type(method: &str) -> &'static str {
    if method == "PATCH" {
        "application/merge-patch+json"
    } else {
        "application/json"
    }
}

async fn a_gateway_at_work_asks_for_nothing_else(context: Context) {
    let Some(audit) = context.cluster.audit() else {
        // A cluster of somebody else's tells nobody who asked for what.
        return;
    };
    let _operator = programmed_shop(&context).await;
    let gateway = Gateway::start(&context, GATEWAY).await;
    gateway.knows(&context, API_KEY).await;
    // An edit comes to it by its watch.
    let routes = json!({"spec": {"routes": [{"pattern": "^/new", "model": "big"}]}});
    context.edit::<ModelRoute>("pages", &routes).await;
    let client = gateway.client();
    let url = gateway.url("/new");
    context
        .eventually("the gateway serves the new route", async || {
            let request = client.post(&url).bearer_auth(API_KEY).json(&json!({}));
            let answer = request.send().await.ok()?;
            (answer.status() != reqwest::StatusCode::NOT_FOUND).then_some(())
        })
        .await;
    gateway.terminate().await;
    let user = format!("system:serviceaccount:{}:{GATEWAY}", context.namespace);
    let requests = audit.requests_of(&user);
    assert!(refused(&requests).is_empty(), "{requests:#?}");
    assert!(
        requests.iter().any(|request| request.verb == "watch"),
        "{requests:#?}"
    );
    for request in &requests {
        assert!(
            ["get", "list", "watch"].contains(&request.verb.as_str()),
            "{request:?}"
        );
        assert_eq!(request.resource, "secrets", "{request:?}");
        assert_eq!(request.name, format!("{GATEWAY}-config"), "{request:?}");
    }
}
