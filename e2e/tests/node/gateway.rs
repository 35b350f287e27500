//! A gateway as its clients see it: by its Service, with the issued authority, from outside of the node's network.

use std::{net::SocketAddr, time::Duration};

use claw_crds::ClawGateway;
use claw_e2e::{node::Forward, testing::Context};
use k8s_openapi::api::core::v1::{Secret, Service};
use reqwest::{Certificate, Client, RequestBuilder};
use serde_json::{Value, json};

/// Loading a model on a machine that compiles beside it takes its time.
const READY_DEADLINE: &str = "--timeout=240s";

/// A gateway's Service, reachable for as long as this lives.
pub(crate) struct Gateway {
    forward: Forward,
    host: String,
    authority: Certificate,
}

impl Gateway {
    /// Wait until the gateway is Ready, and find its Service and authority.
    pub(crate) async fn ready(context: &Context, name: &str) -> Self {
        wait_until_ready(context, name).await;
        let service = context.find::<Service>(name).await.expect("a Service");
        let address = service.spec.and_then(|spec| spec.cluster_ip);
        let address = address.expect("an address").parse().expect("an address");
        let inside = SocketAddr::new(address, 18789);
        let secret = context.find::<Secret>(&format!("{name}-tls")).await;
        let data = secret.and_then(|secret| secret.data).unwrap_or_default();
        let pem = &data.get("ca.crt").expect("issued").0;
        Self {
            forward: context.node().forward(inside).expect("a way in"),
            host: format!("{name}.{}.svc", context.namespace),
            authority: Certificate::from_pem(pem).expect("a certificate"),
        }
    }

    /// A client that trusts the authority that was issued first, alone.
    pub(crate) fn client(&self) -> Client {
        self.client_of(vec![self.authority.clone()])
    }

    /// The same with other authorities, PEM.
    pub(crate) fn client_that_trusts(&self, authorities: &[u8]) -> Client {
        let authorities = Certificate::from_pem_bundle(authorities);
        self.client_of(authorities.expect("certificates"))
    }

    fn client_of(&self, authorities: Vec<Certificate>) -> Client {
        Client::builder()
            .tls_certs_only(authorities)
            .resolve(&self.host, self.forward.address())
            .tls_info(true)
            .timeout(Duration::from_secs(30))
            .build()
            .expect("a client")
    }

    /// A question, without a key.
    pub(crate) fn ask(&self, client: &Client, path: &str) -> RequestBuilder {
        let port = self.forward.address().port();
        let url = format!("https://{}:{port}{path}", self.host);
        let messages = json!([{"role": "user", "content": "hello"}]);
        client.post(url).json(&json!({"messages": messages}))
    }
}

/// Change a gateway, and wait until the operator has done what its spec says now.
pub(crate) async fn change(context: &Context, name: &str, change: &Value) {
    context.edit::<ClawGateway>(name, change).await;
    context
        .eventually("the change is made", async || {
            let gateway = context.find::<ClawGateway>(name).await?;
            let observed = gateway.status?.observed_generation;
            (observed == gateway.metadata.generation).then_some(())
        })
        .await;
}

/// Wait until the gateway's own condition says so, for the spec of now.
pub(crate) async fn wait_until_ready(context: &Context, name: &str) {
    let gateway = format!("cgw/{name}");
    context
        .run(["wait", "--for=condition=Ready", READY_DEADLINE, &gateway])
        .await;
}

/// The text of an answer.
pub(crate) fn content(answer: &Value) -> &str {
    answer["choices"][0]["message"]["content"]
        .as_str()
        .unwrap_or_default()
}
