//! The router without a socket, before a local model whose engine is a fake.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::body::Body;
use axum::response::Response;
use claw_crds::GatewayConfig;
use claw_crds::gateway_config::{
    ApiKeyConfig, AuthConfig, GrantConfig, LoadConfig, LocalModelConfig, ModelBackend, ModelConfig,
    OutboundConfig, QuantizationConfig, RouteConfig, SourceConfig, TaskConfig, TimeoutsConfig,
};
use http::Request;
use http_body_util::BodyExt as _;
use rstest::rstest;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::App;
use crate::auth::hash_key;
use crate::config::{Backend, SharedRuntime, fixture, prepare};
use crate::dispatch::Dispatcher;
use crate::limits::Limiter;
use crate::mailbox::{Counters, PostOffice};
use crate::metrics::{Metrics, Snapshot};
use crate::models::fake::{FakeLoader, workshop};
use crate::models::{ModelPool, SlotState};
use crate::outbound::Outbound;
use crate::provider::{Provider, Timeouts};
use crate::{AppParts, AppState};

mod dialects;
mod encoders;
mod loading;

struct Gateway {
    state: AppState,
    shared_runtime: SharedRuntime,
    pool: ModelPool,
    folder: tempfile::TempDir,
}

impl Gateway {
    /// A local model `near` whose directory is there or not, and a route `/ask` to it after a dead remote one.
    async fn start(has_model: bool) -> Self {
        Self::start_with(has_model, |_, _| ()).await
    }

    /// The same with another configuration, whose local models are in the folder.
    async fn start_with(has_model: bool, edit: impl FnOnce(&mut GatewayConfig, &Path)) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().expect("a folder");
        if has_model {
            std::fs::create_dir(folder.path().join("near")).expect("a directory");
        }
        let mut config = config(folder.path());
        edit(&mut config, folder.path());
        let runtime = prepare("a test", config).expect("valid");
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let shop = workshop(&Arc::new(FakeLoader::default()), folder.path());
        let pool = ModelPool::new(shop, tasks.clone(), shutdown.clone());
        let runtime = runtime.install(|key| pool.acquire(key), None);
        // One that is loaded on demand waits for it.
        let settled = |state: &SlotState| {
            matches!(
                state,
                SlotState::Ready(..) | SlotState::Failed { .. } | SlotState::Standby
            )
        };
        for model in &runtime.models {
            if let Backend::Local(slot) = &model.backend {
                let mut states = slot.subscribe();
                states.wait_for(settled).await.expect("alive");
            }
        }
        let shared_runtime = Arc::new(ArcSwap::from_pointee(runtime));
        let known_runtime = Arc::clone(&shared_runtime);
        let metrics = Arc::new(Metrics::default());
        let outbound = Outbound::new(OutboundConfig::unrestricted()).expect("clients");
        let limiter = Arc::new(Limiter::new(PathBuf::new(), Arc::clone(&metrics)));
        let patience = Duration::from_secs(5);
        let timeouts = Timeouts {
            first_token: patience,
            idle: patience,
            whole: patience,
        };
        let provider = Provider::new(outbound.clone(), timeouts);
        let dispatcher = Arc::new(Dispatcher::new(
            Arc::clone(&shared_runtime),
            provider,
            Duration::from_mins(1),
            Arc::clone(&metrics),
            Arc::clone(&limiter),
        ));
        let state = AppState::from(AppParts {
            shared_runtime,
            respond: Arc::<Dispatcher>::clone(&dispatcher),
            dispatcher,
            attempts: Arc::default(),
            rate_limits: Arc::default(),
            limiter,
            metrics,
            outbound,
            audit: Arc::default(),
            channels: Arc::default(),
            mail: Arc::new(PostOffice::new(PathBuf::new(), Counters::default())),
            tasks,
            shutdown,
        });
        Self {
            state,
            shared_runtime: known_runtime,
            pool,
            folder,
        }
    }

    async fn send(&self, path: &str, body: &Value) -> Response {
        let request = Request::post(path)
            .header("authorization", "Bearer sesame")
            .body(Body::from(body.to_string()))
            .expect("a request");
        App::new(self.state.clone()).answer(request).await
    }

    async fn ask(&self, path: &str, body: &Value) -> (u16, Value) {
        let response = self.send(path, body).await;
        let status = response.status().as_u16();
        let text = text(response).await;
        (status, serde_json::from_str(&text).expect("JSON"))
    }
}

fn doing(pattern: &str, task: TaskConfig, models: &[&str]) -> RouteConfig {
    RouteConfig {
        origin: "a test".into(),
        pattern: Some(pattern.into()),
        targets: models.iter().map(|&model| model.into()).collect(),
        task,
        ..RouteConfig::default()
    }
}

fn config(folder: &std::path::Path) -> GatewayConfig {
    let mut config = fixture::config(&["far"]);
    config.auth = AuthConfig::ApiKeys(vec![ApiKeyConfig {
        name: "team/ada".into(),
        sha256: hash_key("sesame"),
        grant: GrantConfig::default(),
    }]);
    config.models.push(ModelConfig {
        name: "near".into(),
        task: TaskConfig::Chat,
        backend: ModelBackend::Local(LocalModelConfig {
            source: SourceConfig::Path(folder.join("near").display().to_string()),
            quantization: QuantizationConfig::Int8,
            context_length: None,
            load: LoadConfig::Eager,
        }),
    });
    config.models.push(ModelConfig {
        name: "gone".into(),
        task: TaskConfig::Chat,
        backend: ModelBackend::Unavailable {
            reason: "its Secret is missing".into(),
        },
    });
    config.routes.push(RouteConfig {
        origin: "a test".into(),
        pattern: Some("^/ask$".into()),
        targets: vec!["far".into(), "near".into()],
        ..RouteConfig::default()
    });
    config.routes.extend([
        doing("^/short$", TaskConfig::Summarize, &["far", "near"]),
        doing("^/vectors$", TaskConfig::Embed, &["near"]),
    ]);
    let limited = |path: &str, timeouts| RouteConfig {
        origin: path.into(),
        pattern: Some(format!("^{path}$")),
        targets: vec!["near".into()],
        timeouts,
        ..RouteConfig::default()
    };
    let none = TimeoutsConfig::default();
    let soon = Some(100);
    config.routes.extend([
        limited(
            "/first",
            TimeoutsConfig {
                first_token_ms: soon,
                ..none
            },
        ),
        limited(
            "/idle",
            TimeoutsConfig {
                idle_ms: soon,
                ..none
            },
        ),
        limited(
            "/answer",
            TimeoutsConfig {
                answer_ms: soon,
                ..none
            },
        ),
        limited(
            "/total",
            TimeoutsConfig {
                total_ms: soon,
                ..none
            },
        ),
    ]);
    config
}

fn chat(model: &str, words: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": words}]})
}

async fn text(response: Response) -> String {
    let bytes = response
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes();
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[tokio::test]
async fn a_local_model_answers_after_a_dead_remote_one() {
    let gateway = Gateway::start(true).await;
    let (status, answer) = gateway.ask("/ask", &chat("ignored", "hello there")).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        answer["choices"][0]["message"],
        json!({"role": "assistant", "content": "echo: hello there"})
    );
    assert_eq!(
        answer["usage"],
        json!({
            "prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10,
            "prompt_tokens_details": {"cached_tokens": 2},
        })
    );
    assert_eq!(answer["model"], "near");
}

#[tokio::test]
async fn a_local_model_summarizes_after_a_dead_remote_one() {
    let gateway = Gateway::start(true).await;
    let (status, answer) = gateway.ask("/short", &json!({"text": "a story"})).await;
    assert_eq!(
        (status, &answer["model"]),
        (200, &json!("near")),
        "{answer}"
    );
    assert_eq!(answer["summary"], "echo: a story");
    assert_eq!(answer["usage"]["completion_tokens"], 3);
    let body = json!({"text": "a story", "response_format": {"type": "json_object"}});
    let (status, error) = gateway.ask("/short", &body).await;
    assert_eq!(
        (status, &error["error"]["param"]),
        (400, &json!("response_format"))
    );
}

#[tokio::test]
async fn a_local_model_makes_no_vectors_at_a_route() {
    let gateway = Gateway::start(true).await;
    let (status, error) = gateway.ask("/vectors", &json!({"input": "a"})).await;
    assert_eq!(
        (status, &error["error"]["code"]),
        (400, &json!("unsupported_task")),
        "{error}"
    );
}

#[tokio::test]
async fn a_local_stream_has_a_role_first_and_done_last() {
    let gateway = Gateway::start(true).await;
    let mut body = chat("near", "hi");
    body["stream"] = true.into();
    let text = text(gateway.send("/v1/chat/completions", &body).await).await;
    let events: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .collect();
    let delta = |index: usize| -> Value {
        let chunk: Value = serde_json::from_str(events[index]).expect("JSON");
        chunk["choices"][0]["delta"].clone()
    };
    assert_eq!(delta(0), json!({"role": "assistant", "content": ""}));
    assert_eq!(delta(1), json!({"content": "echo: "}));
    assert_eq!(events.last(), Some(&"[DONE]"));
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_back() {
    let gateway = Gateway::start(true).await;
    let response = gateway
        .send("/v1/chat/completions", &chat("near", "full"))
        .await;
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "7");
    assert!(text(response).await.contains("model_overloaded"));
}

#[tokio::test]
async fn a_generation_that_fails_in_a_stream_ends_with_an_error() {
    let gateway = Gateway::start(true).await;
    let mut body = chat("near", "fail");
    let (status, error) = gateway.ask("/v1/chat/completions", &body).await;
    assert_eq!(
        (status, &error["error"]["code"]),
        (500, &json!("generation_failed"))
    );
    assert!(
        !error.to_string().contains("numbers"),
        "details are for the log"
    );
    body["stream"] = true.into();
    let text = text(gateway.send("/v1/chat/completions", &body).await).await;
    assert!(
        text.contains("event: error") && !text.contains("[DONE]"),
        "{text}"
    );
}

#[rstest]
#[case::no_first_token("/first", "mute", true, "model_timeout")]
#[case::no_answer("/answer", "stall", false, "model_timeout")]
#[case::no_first_token_in_all("/total", "mute", true, "total_timeout")]
#[case::no_answer_in_all("/total", "stall", false, "total_timeout")]
#[tokio::test]
async fn a_local_model_is_waited_for_as_long_as_the_route_says(
    #[case] path: &str,
    #[case] words: &str,
    #[case] stream: bool,
    #[case] code: &str,
) {
    let gateway = Gateway::start(true).await;
    let mut body = chat("near", words);
    body["stream"] = stream.into();
    let (status, error) = gateway.ask(path, &body).await;
    assert_eq!((status, &error["error"]["code"]), (504, &json!(code)));
    let message = error["error"]["message"].as_str().expect("a message");
    assert!(
        message.contains("`near`") && message.contains("0.1 s"),
        "{message}"
    );
}

#[rstest]
#[case("/idle", "model_timeout")]
#[case("/total", "total_timeout")]
#[tokio::test]
async fn a_local_stream_that_stalls_ends_with_an_error_and_is_counted(
    #[case] path: &str,
    #[case] code: &str,
) {
    let gateway = Gateway::start(true).await;
    let mut body = chat("near", "stall");
    body["stream"] = true.into();
    let text = text(gateway.send(path, &body).await).await;
    assert!(
        text.contains("echo: ") && text.contains("event: error"),
        "{text}"
    );
    assert!(text.contains(code) && !text.contains("[DONE]"), "{text}");
    let metrics = gateway.state.metrics.encode(&Snapshot::default());
    let metrics = metrics.expect("encodes");
    assert!(
        metrics.contains(r#"tokens_total{model="near",kind="completion"} "#),
        "{metrics}"
    );
}

#[tokio::test]
async fn models_that_are_down_say_so() {
    let gateway = Gateway::start(false).await;
    for (model, reason) in [
        ("near", "failed to load"),
        ("gone", "its Secret is missing"),
    ] {
        let (status, error) = gateway
            .ask("/v1/chat/completions", &chat(model, "hi"))
            .await;
        assert_eq!(status, 503);
        let message = error["error"]["message"].as_str().expect("a message");
        assert!(message.contains(reason), "{message}");
    }
}

#[tokio::test]
async fn a_panic_costs_one_request() {
    let gateway = Gateway::start(true).await;
    let (status, error) = gateway
        .ask("/v1/chat/completions", &chat("near", "panic"))
        .await;
    assert_eq!(
        (status, &error["error"]["message"]),
        (500, &json!("internal error"))
    );
    assert_eq!(
        gateway
            .ask("/v1/chat/completions", &chat("near", "hi"))
            .await
            .0,
        200
    );
}

#[tokio::test]
async fn only_channels_are_reached_without_a_key() {
    let gateway = Gateway::start(true).await;
    for (path, expected) in [
        ("/channels/none", 404),
        ("/channels/none/more", 401),
        ("/ask", 401),
        ("/v1/models", 401),
        ("/", 401),
    ] {
        let request = Request::post(path).body(Body::empty()).expect("a request");
        let response = App::new(gateway.state.clone()).answer(request).await;
        assert_eq!(response.status(), expected, "{path}");
    }
}

#[tokio::test]
async fn the_description_of_the_api_is_public_and_has_every_endpoint() {
    let gateway = Gateway::start(false).await;
    let request = Request::get("/openapi.json")
        .body(Body::empty())
        .expect("a request");
    let response = App::new(gateway.state.clone()).answer(request).await;
    assert_eq!(response.status(), 200);
    let document: Value = serde_json::from_str(&text(response).await).expect("JSON");
    let mut described: Vec<(String, String)> = Vec::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for method in operations.as_object().expect("operations").keys() {
            described.push((path.clone(), method.to_uppercase()));
        }
    }
    let asks = super::ASKS.map(|(path, _)| (path.to_owned(), "POST".to_owned()));
    let mut views = super::views()
        .map(|(path, _)| (path.replace("{*", "{"), "GET".to_owned()))
        .to_vec();
    views.push((super::OPENAPI.to_owned(), "GET".to_owned()));
    let mut served: Vec<_> = asks.into_iter().chain(views).collect();
    served.sort();
    described.sort();
    assert_eq!(described, served);
}
