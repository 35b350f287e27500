//! Models that are loaded on demand, and models that take over from others.

use claw_crds::gateway_config::LoadConfig;
use futures::{FutureExt as _, StreamExt as _};

use super::*;

/// A model that is loaded on demand, from a directory that does not load yet.
fn sleepy(config: &mut GatewayConfig, folder: &Path) {
    let path = folder.join("sleepy");
    std::fs::create_dir(&path).expect("a directory");
    std::fs::write(path.join("gate"), "").expect("written");
    config.models.push(local("sleepy", &path, LoadConfig::Lazy));
    let timeouts = TimeoutsConfig {
        first_token_ms: Some(100),
        ..TimeoutsConfig::default()
    };
    config.routes.push(RouteConfig {
        origin: "a test".into(),
        pattern: Some("^/impatient$".into()),
        targets: vec!["sleepy".into(), "near".into()],
        timeouts,
        ..RouteConfig::default()
    });
}

fn local(name: &str, path: &Path, load: LoadConfig) -> ModelConfig {
    ModelConfig {
        name: name.into(),
        task: TaskConfig::Chat,
        backend: ModelBackend::Local(LocalModelConfig {
            source: SourceConfig::Path(path.display().to_string()),
            quantization: QuantizationConfig::Int8,
            context_length: None,
            load,
        }),
    }
}

fn open_gate(gateway: &Gateway, name: &str) {
    std::fs::remove_file(gateway.folder.path().join(name).join("gate")).expect("removed");
}

async fn in_state(gateway: &Gateway, model: &str, label: &str) {
    let runtime = gateway.state.runtime();
    let Some(Backend::Local(slot)) = runtime.model(model).map(|model| &model.backend) else {
        panic!("a local model")
    };
    let mut states = slot.subscribe();
    let seen = states.wait_for(|state| state.label() == label).await;
    seen.expect("the slot lives");
}

#[tokio::test]
async fn a_request_for_a_lazy_model_waits_until_it_is_loaded() {
    let gateway = Gateway::start_with(true, sleepy).await;
    let body = chat("sleepy", "hello");
    let (answer, ()) = tokio::join!(gateway.ask("/v1/chat/completions", &body), async {
        in_state(&gateway, "sleepy", "loading").await;
        open_gate(&gateway, "sleepy");
    });
    let (status, answer) = answer;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["choices"][0]["message"]["content"], "echo: hello");
}

#[tokio::test]
async fn a_model_that_loads_for_longer_than_the_route_waits_leaves_it_to_the_next() {
    let gateway = Gateway::start_with(true, sleepy).await;
    let mut body = chat("ignored", "hello");
    body["stream"] = true.into();
    let response = gateway.send("/impatient", &body).await;
    assert_eq!(response.headers()["x-claw-model"], "near");
    assert!(text(response).await.contains("[DONE]"));
    open_gate(&gateway, "sleepy");
}

/// The body of a stream up to and with a text.
async fn read_until(body: &mut axum::body::BodyDataStream, wanted: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(wanted) {
        let part = body.next().await.expect("more").expect("infallible");
        seen.push_str(std::str::from_utf8(&part).expect("UTF-8"));
    }
    seen
}

#[rstest]
#[case::chat("/v1/chat/completions", "[DONE]")]
#[case::messages("/v1/messages", "message_stop")]
#[case::responses("/v1/responses", "response.completed")]
#[tokio::test]
async fn a_stream_tells_how_far_the_model_is_before_it_answers(
    #[case] path: &str,
    #[case] end: &str,
) {
    let gateway = Gateway::start_with(true, sleepy).await;
    let mut body = chat("sleepy", "hello");
    body["stream"] = true.into();
    body["max_tokens"] = 9.into();
    body["input"] = "hello".into();
    if path == "/v1/responses" {
        let fields = body.as_object_mut().expect("an object");
        fields.remove("messages");
        fields.remove("max_tokens");
    } else {
        body.as_object_mut().expect("an object").remove("input");
    }
    let response = gateway.send(path, &body).await;
    assert_eq!(response.status(), 200);
    let mut stream = response.into_body().into_data_stream();
    let seen = read_until(&mut stream, "model sleepy is loading").await;
    assert!(seen.starts_with(':'), "a comment: {seen}");
    open_gate(&gateway, "sleepy");
    let seen = read_until(&mut stream, end).await;
    assert!(seen.contains("hello"), "{seen}");
}

#[tokio::test]
async fn a_held_stream_whose_model_fails_ends_with_an_error() {
    let gateway = Gateway::start_with(true, sleepy).await;
    let broken = gateway.folder.path().join("sleepy/broken");
    std::fs::write(broken, "").expect("written");
    let mut body = chat("sleepy", "hello");
    body["stream"] = true.into();
    let response = gateway.send("/v1/chat/completions", &body).await;
    let mut stream = response.into_body().into_data_stream();
    read_until(&mut stream, "is loading").await;
    open_gate(&gateway, "sleepy");
    let seen = read_until(&mut stream, "event: error").await;
    assert!(!seen.contains("[DONE]"), "{seen}");
}

/// Say of a model that it is something else from now on.
fn switch(gateway: &Gateway, name: &str, path: &Path) {
    let mut config = config(gateway.folder.path());
    for model in &mut config.models {
        if model.name == name {
            *model = local(name, path, LoadConfig::Eager);
        }
    }
    let before = gateway.state.runtime();
    let prepared = prepare("a test", config).expect("valid");
    let runtime = prepared.install(|key| gateway.pool.acquire(key), Some(&before));
    gateway.shared_runtime.store(Arc::new(runtime));
}

#[tokio::test]
async fn a_new_version_takes_over_and_requests_in_flight_end_as_they_began() {
    let gateway = Gateway::start(true).await;
    let who = chat("near", "who");
    let said = async || {
        let (status, answer) = gateway.ask("/v1/chat/completions", &who).await;
        assert_eq!(status, 200, "{answer}");
        answer["choices"][0]["message"]["content"].clone()
    };
    assert_eq!(said().await, "echo: near");
    // It began with the old version, and has not ended.
    let mut stalled = chat("near", "stall");
    stalled["stream"] = true.into();
    let response = gateway.send("/v1/chat/completions", &stalled).await;
    let mut in_flight = response.into_body().into_data_stream();
    read_until(&mut in_flight, "echo: ").await;
    let path = gateway.folder.path().join("newer");
    std::fs::create_dir(&path).expect("a directory");
    std::fs::write(path.join("gate"), "").expect("written");
    switch(&gateway, "near", &path);
    in_state(&gateway, "near", "loading").await;
    assert_eq!(said().await, "echo: near", "the old one answers");
    open_gate(&gateway, "newer");
    in_state(&gateway, "near", "ready").await;
    assert_eq!(said().await, "echo: newer");
    // Whoever began with the old one is not cut off.
    let next = in_flight.next().now_or_never();
    assert!(next.is_none(), "{next:?}");
}

#[tokio::test]
async fn an_engine_that_died_is_replaced_and_the_others_serve() {
    let gateway = Gateway::start_with(true, |config, folder| {
        let path = folder.join("other");
        std::fs::create_dir(&path).expect("a directory");
        config.models.push(local("other", &path, LoadConfig::Eager));
    })
    .await;
    in_state(&gateway, "other", "ready").await;
    let (status, _) = gateway
        .ask("/v1/chat/completions", &chat("near", "die"))
        .await;
    assert_eq!(status, 503);
    let (status, _) = gateway
        .ask("/v1/chat/completions", &chat("other", "hello"))
        .await;
    assert_eq!(status, 200);
    in_state(&gateway, "near", "ready").await;
    let (status, _) = gateway
        .ask("/v1/chat/completions", &chat("near", "hello"))
        .await;
    assert_eq!(status, 200);
}
