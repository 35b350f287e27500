//! A gateway as a process: configured by the Secret that the operator rendered, with the permissions of the
//! ServiceAccount that the operator made, and a client that trusts the certificate that the operator issued.

use std::{net::SocketAddr, time::Duration};

use claw_crds::ClawGateway;
use claw_e2e::{
    ChildProcess,
    process::Program,
    service_account::{self, ServiceAccountRef},
};
use k8s_openapi::api::core::v1::Secret;
use reqwest::{Certificate, Client, ClientBuilder, RequestBuilder};
use serde_json::{Value, json};

use crate::{context::Context, programs};

/// A running gateway.
pub(crate) struct Gateway {
    process: ChildProcess,
    pub(crate) address: SocketAddr,
    pub(crate) host: String,
    authority: Certificate,
}

impl Gateway {
    /// Start the gateway `name` of the test's namespace, and wait until it is ready.
    pub(crate) async fn start(context: &Context, name: &str) -> Self {
        Self::start_replica(context, name, "gateway").await
    }

    /// One of several processes of the gateway `name`, whose own files begin with `replica`.
    pub(crate) async fn start_replica(context: &Context, name: &str, replica: &str) -> Self {
        let programmed = ("Programmed", "True", "Programmed");
        context.reports::<ClawGateway>(name, programmed).await;
        let directory = context.directory();
        let kubeconfig = directory.join(format!("{replica}.kubeconfig"));
        let account = ServiceAccountRef {
            namespace: &context.namespace,
            name,
        };
        let admin = context.cluster.kubeconfig();
        service_account::write_kubeconfig(&context.client, account, admin, &kubeconfig)
            .await
            .expect("a token for the gateway");
        let port_file = directory.join(format!("{replica}.ports"));
        let state = directory.join(format!("{replica}-state"));
        let secret = format!("{name}-config");
        let process = Program::new(replica, programs::path("clawdbot"))
            .args([
                "gateway",
                "--config-secret",
                &secret,
                "--namespace",
                &context.namespace,
            ])
            .args([
                "--bind",
                "127.0.0.1",
                "--port",
                "0",
                "--management-port",
                "0",
            ])
            .args(["--port-file".as_ref(), port_file.as_os_str()])
            .args(["--state-dir".as_ref(), state.as_os_str()])
            .env("KUBECONFIG", &kubeconfig)
            .start(&directory)
            .expect("the gateway starts");
        let mut gateway = Self {
            process,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            host: format!("{name}.{}.svc", context.namespace),
            authority: authority(context, name).await,
        };
        gateway.wait_until_ready(context, &port_file).await;
        gateway
    }

    async fn wait_until_ready(&mut self, context: &Context, port_file: &std::path::Path) {
        let ports = context
            .eventually("the gateway opens its ports", async || {
                assert!(
                    self.process.ended().is_none(),
                    "{}",
                    self.process.log_tail(20)
                );
                let text = std::fs::read(port_file).ok()?;
                serde_json::from_slice::<Value>(&text).ok()
            })
            .await;
        let address = |name: &str| ports[name].as_str().expect("an address").to_owned();
        self.address = address("gateway").parse().expect("an address");
        let ready = format!("http://{}/readyz", address("management"));
        context
            .eventually("the gateway is ready", async || {
                assert!(
                    self.process.ended().is_none(),
                    "{}",
                    self.process.log_tail(20)
                );
                let answer = reqwest::get(&ready).await.ok()?;
                answer.status().is_success().then_some(())
            })
            .await;
    }

    /// A client builder that trusts the issued authority alone, and finds the Service's name on loopback.
    pub(crate) fn trusting(&self) -> ClientBuilder {
        Client::builder()
            .tls_certs_only([self.authority.clone()])
            .resolve(&self.host, self.address)
            .timeout(Duration::from_mins(1))
    }

    /// A client made of it.
    pub(crate) fn client(&self) -> Client {
        self.trusting().build().expect("a client")
    }

    /// The URL of a path, under the Service's name.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}:{}{path}", self.host, self.address.port())
    }

    /// A chat request without a key.
    pub(crate) fn chat(&self, client: &Client, path: &str, body: &Value) -> RequestBuilder {
        client.post(self.url(path)).json(body)
    }

    /// Wait until it knows a key: its Secret may have been applied after the gateway was rendered first.
    pub(crate) async fn knows(&self, context: &Context, key: &str) {
        let client = self.client();
        let models = self.url("/v1/models");
        context
            .eventually("the gateway knows the key", async || {
                let answer = client.get(&models).bearer_auth(key).send().await.ok()?;
                answer.status().is_success().then_some(())
            })
            .await;
    }

    /// As a rollout: drains and ends.
    pub(crate) async fn terminate(mut self) {
        let ended = self.process.terminate(Duration::from_secs(30)).await;
        let status = ended.expect("it ends when asked to");
        assert!(status.success(), "{status}\n{}", self.process.log_tail(20));
    }
}

/// What clients are told to trust: `ca.crt` of the certificate's Secret.
async fn authority(context: &Context, name: &str) -> Certificate {
    let secret = context.find::<Secret>(&format!("{name}-tls")).await;
    let data = secret.and_then(|secret| secret.data).unwrap_or_default();
    let pem = &data.get("ca.crt").expect("issued").0;
    Certificate::from_pem(pem).expect("a certificate")
}

/// A conversation of one message.
pub(crate) fn message(text: &str) -> Value {
    json!({"messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 32})
}

/// The text of an answer.
pub(crate) fn content(answer: &Value) -> &str {
    answer["choices"][0]["message"]["content"]
        .as_str()
        .unwrap_or_default()
}

/// The text of a streamed answer, and whether it ended as the protocol says.
pub(crate) fn streamed_content(body: &str) -> (String, bool) {
    let data: Vec<&str> = body
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .collect();
    let chunks = data
        .iter()
        .filter_map(|data| serde_json::from_str::<Value>(data).ok());
    let text = chunks
        .filter_map(|chunk| {
            chunk["choices"][0]["delta"]["content"]
                .as_str()
                .map(str::to_owned)
        })
        .collect();
    (text, data.last() == Some(&"[DONE]"))
}
