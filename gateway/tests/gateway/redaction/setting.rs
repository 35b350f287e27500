//! A gateway with a secret in every place that takes one.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::api::{Api, FAILING, MURMURS, REPEATS};
use super::planted;
use crate::audit_sinks::receiver::HttpReceiver;
use crate::binary::{Binary, client_builder};
use crate::identities::issuer::{ISSUER, Signer};
use claw_telemetry::receiver::Receiver;

/// Everything that can hear of something.
pub(super) struct Setting {
    pub(super) gateway: Binary,
    pub(super) _api: Api,
    pub(super) sink: HttpReceiver,
    pub(super) collector: Receiver,
    pub(super) signer: Signer,
}

impl Setting {
    /// With audit records of requests, or also of what was said.
    pub(super) async fn start(content: &str) -> Self {
        let (api, signer) = (Api::start().await, Signer::new("one"));
        let sink = HttpReceiver::start(Some(planted::SINK)).await;
        // Its failures are told as well; the records wait.
        sink.refuse(500);
        let collector = Receiver::start().await.expect("a port");
        let folder = tempfile::tempdir().expect("a folder");
        let manifests = folder.path().join("manifests");
        fs::create_dir(&manifests).expect("a folder");
        let objects = objects(&api, &sink, &signer, content);
        put(folder.path(), &objects);
        let arguments = [
            "--manifests",
            &manifests.display().to_string(),
            "--log-format",
            "json",
            "--verbose",
        ];
        let header = format!("x-token={}", planted::COLLECTOR);
        let environment = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.endpoint),
            ("OTEL_EXPORTER_OTLP_HEADERS", &header),
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ];
        let client = ("http", client_builder().build().expect("a client"));
        let arguments = arguments.map(str::to_owned);
        Self {
            gateway: Binary::start_with_environment(folder, &arguments, client, &environment).await,
            _api: api,
            sink,
            collector,
            signer,
        }
    }

    /// Replace the configuration by one whose only model is this remote one.
    pub(super) fn configure(&self, remote: &Value, secret: &Value) {
        let gateway = json!({
            "apiVersion": "claw.dev/v1alpha1", "kind": "ClawGateway", "metadata": {"name": "desk"},
            "spec": {
                "tls": {"disabled": {}},
                "auth": {"anonymous": {}},
                "models": [{"name": "other", "remote": remote}],
                "audit": {},
            },
        });
        put(self.gateway.folder.path(), &[gateway, secret.clone()]);
    }
}

/// As an editor does it: never half a file.
fn put(folder: &Path, objects: &[Value]) {
    let texts: Vec<_> = objects.iter().map(ToString::to_string).collect();
    fs::write(folder.join("next"), texts.join("\n---\n")).expect("written");
    fs::rename(folder.join("next"), folder.join("manifests/all.yaml")).expect("replaced");
}

fn secret(name: &str, annotations: &Value, data: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": name, "labels": {"use": name}, "annotations": annotations},
        "stringData": data,
    })
}

fn key(name: &str, value: &str, annotations: &Value) -> Value {
    let mut secret = secret(name, annotations, &json!({"k": value}));
    secret["metadata"]["labels"]["use"] = "keys".into();
    secret
}

fn from_secret(key: &str) -> Value {
    json!({"secretKeyRef": {"name": "tokens", "key": key}})
}

fn models(api: &Api) -> Vec<Value> {
    let base = format!("http://{}/v1", api.address);
    let remote = |name: &str, provider: &str, base: &str, model: &str| {
        let credentials = from_secret("provider");
        json!({"name": name, "remote": {
            "provider": provider, "baseURL": base, "model": model, "credentials": credentials,
        }})
    };
    let mut models: Vec<_> = FAILING
        .iter()
        .chain(&["ok", REPEATS, MURMURS])
        .map(|name| remote(name, "OpenAI", &base, name))
        .collect();
    for status in ["400", "401", "429", "500"] {
        for provider in ["Anthropic", "Gemini", "AzureOpenAI"] {
            let (name, model) = (format!("{provider}-{status}"), format!("status-{status}"));
            models.push(remote(&name.to_lowercase(), provider, &base, &model));
        }
    }
    models.push(remote("dead", "OpenAI", "http://127.0.0.1:9/v1", "dead"));
    let mut ring = remote("ring", "OpenAI", &base, "status-401");
    ring["remote"]["credentials"] = json!({"secretKeyRefs": [
        {"name": "tokens", "key": "provider"}, {"name": "tokens", "key": "other"},
    ]});
    models.push(ring);
    models.push(json!({"name": "fetched", "local": {"source": {"http": {
        "url": format!("http://127.0.0.1:9/model.gguf?X-Amz-Signature={}", planted::SIGNATURE),
        "sha256": "0".repeat(64),
    }}}}));
    models
}

/// Each failing model once before one that answers, and one that is asked again.
fn routes() -> Vec<Value> {
    let rule = |path: &str, model: &str| json!({"pattern": path, "model": model, "fallback": "ok"});
    let mut routes: Vec<_> = FAILING
        .iter()
        .map(|name| rule(&format!("^/instead/{name}$"), name))
        .collect();
    routes.push(json!({
        "pattern": "^/again$", "model": REPEATS, "retries": {"attempts": 2, "backoff": "10ms"},
    }));
    for route in &mut routes {
        route["timeouts"] = json!({"firstToken": "300ms", "answer": "300ms"});
    }
    routes
}

fn objects(api: &Api, sink: &HttpReceiver, signer: &Signer, content: &str) -> Vec<Value> {
    let jwks = json!({"keys": [signer.jwk()]}).to_string();
    let gateway = json!({
        "apiVersion": "claw.dev/v1alpha1", "kind": "ClawGateway", "metadata": {"name": "desk"},
        "spec": {
            "tls": {"disabled": {}},
            "auth": {
                "apiKeys": {"selector": {"matchLabels": {"use": "keys"}}},
                "jwt": [{"name": "corp", "issuer": ISSUER, "audiences": ["claw"], "jwks": {"inline": jwks}}],
                "introspection": {
                    "url": format!("http://{}/introspect", api.address),
                    "clientID": "gateway", "clientSecret": from_secret("oauth"),
                },
            },
            "observability": {"logLevel": "Debug"},
            "limits": {"maxBodyBytes": 4096},
            "state": {"sqlite": {}},
            "models": models(api),
            "audit": {"content": content, "sinks": [{"name": "siem", "http": {
                "url": format!("{}/ingest", sink.url()), "bearerToken": from_secret("sink"),
            }}]},
        },
    });
    let channel = |name: &str, model: &str, platform: &str, settings: &Value| {
        json!({
            "apiVersion": "claw.dev/v1alpha1", "kind": "Channel", "metadata": {"name": name},
            "spec": {
                "gatewayRef": {"name": "desk"}, "model": model, "systemPrompt": planted::PROMPT,
                platform: settings, "access": {"direct": "Open"},
            },
        })
    };
    let bot = |place: &str| {
        json!({
            "botToken": from_secret("bot"), "webhookSecret": from_secret("webhook"),
            "apiBaseURL": place,
        })
    };
    vec![
        gateway,
        json!({
            "apiVersion": "claw.dev/v1alpha1", "kind": "ModelRoute", "metadata": {"name": "desk"},
            "spec": {"gatewayRef": {"name": "desk"}, "routes": routes()},
        }),
        key("caller", planted::CALLER, &json!({})),
        key(
            "narrow",
            planted::NARROW,
            &json!({"keys.claw.dev/allowed-models": "dead"}),
        ),
        key(
            "limited",
            planted::LIMITED,
            &json!({"keys.claw.dev/requests-per-minute": "1"}),
        ),
        secret(
            "tokens",
            &json!({}),
            &json!({
                "provider": planted::PROVIDER, "other": planted::OTHER_PROVIDER, "oauth": planted::OAUTH,
                "sink": planted::SINK, "bot": planted::BOT, "webhook": planted::WEBHOOK,
            }),
        ),
        channel("web", "ok", "webSocket", &json!({})),
        channel("web-repeats", REPEATS, "webSocket", &json!({})),
        channel(
            "bot",
            "ok",
            "telegram",
            &bot(&format!("http://{}", api.address)),
        ),
        channel(
            "bot-repeats",
            REPEATS,
            "telegram",
            &bot(&format!("http://{}", api.address)),
        ),
        channel("bot-alone", "ok", "telegram", &bot("http://127.0.0.1:9")),
    ]
}
