//! What happens when a model does not answer.

use std::fs;

use rstest::rstest;
use serde_json::{Value, json};

use crate::binary::{Binary, chat, events, said, stream};
use crate::upstream::Upstream;

/// A gateway whose route `/ask` goes to a model of that name, and then to `good`.
async fn with_fallback(upstream: &Upstream, name: &str) -> Binary {
    let folder = tempfile::tempdir().expect("a folder");
    let routes = folder.path().join("routes.yaml");
    fs::write(
        &routes,
        format!("routes: [{{pattern: ^/ask$, model: {name}, fallback: good}}]\n"),
    )
    .expect("written");
    let mut arguments = upstream.models(&["good"]);
    let target = if name == "dead" {
        "http://127.0.0.1:9/v1".to_owned()
    } else {
        format!("http://{}/v1", upstream.address)
    };
    arguments.extend(["--model".to_owned(), format!("{name}={target}")]);
    arguments.extend(["--routes".to_owned(), routes.display().to_string()]);
    let patience = [
        "--first-token-timeout",
        "300ms",
        "--answer-timeout",
        "300ms",
        "--idle-timeout",
        "300ms",
    ];
    arguments.extend(patience.map(str::to_owned));
    Binary::start_in(folder, &arguments).await
}

#[rstest]
#[case("dead", "upstream_unreachable")]
#[case("refuses", "upstream_error")]
#[case("missing", "upstream_error")]
#[case("broken", "upstream_error")]
#[case("moved", "upstream_error")]
#[case("busy", "upstream_rate_limited")]
#[case("garbage", "upstream_malformed")]
#[case("slow", "upstream_timeout")]
#[case("empty", "upstream_malformed")]
#[tokio::test]
async fn another_model_answers_for_one_that_fails(#[case] name: &str, #[case] reason: &str) {
    let upstream = Upstream::start().await;
    let gateway = with_fallback(&upstream, name).await;
    let mut body = stream(name);
    body.as_object_mut().expect("an object").remove("model");
    let response = gateway.chat("/ask", &body).send().await.expect("an answer");
    assert_eq!(response.headers()["x-claw-model"], "good");
    assert_eq!(said(&events(response).await), "Hello");
    body["stream"] = false.into();
    let (status, answer) = gateway.ask("/ask", &body).await;
    assert_eq!(
        (status, &answer["model"]),
        (200, &json!("good")),
        "{answer}"
    );
    let (_, metrics) = gateway.managed("/metrics").await;
    assert!(
        metrics.contains(&format!(
            r#"fallbacks_total{{model="{name}",reason="{reason}"}}"#
        )),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_stream_that_is_cut_ends_with_an_error_and_without_done() {
    let upstream = Upstream::start().await;
    for name in ["cut", "stalls"] {
        let gateway = with_fallback(&upstream, name).await;
        let response = gateway
            .chat("/ask", &stream(name))
            .send()
            .await
            .expect("an answer");
        let events = events(response).await;
        assert_eq!(said(&events), "half");
        let [.., event, data] = events.as_slice() else {
            panic!("{events:?}")
        };
        assert_eq!(event, "error");
        let error: Value = serde_json::from_str(data).expect("JSON");
        assert_eq!(error["error"]["type"], "server_error");
        assert!(
            !events.iter().any(|event| event == "[DONE]"),
            "{name}: {events:?}"
        );
    }
}

#[tokio::test]
async fn a_request_that_the_api_refuses_is_not_sent_elsewhere() {
    let upstream = Upstream::start().await;
    let gateway = with_fallback(&upstream, "picky").await;
    let (status, answer) = gateway.ask("/ask", &chat("picky")).await;
    assert_eq!(status, 422);
    assert_eq!(
        answer["error"]["message"],
        "temperature and top_p cannot both be set"
    );
    assert_eq!(upstream.requests().len(), 1);
}

#[rstest]
#[case("broken", 502)]
#[case("refuses", 502)]
#[case("slow", 504)]
#[case("busy", 429)]
#[tokio::test]
async fn without_another_model_the_failure_is_told(#[case] name: &str, #[case] expected: u16) {
    let upstream = Upstream::start().await;
    let gateway = with_fallback(&upstream, name).await;
    let response = gateway
        .chat("/v1/chat/completions", &chat(name))
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status(), expected);
    if name == "busy" {
        assert_eq!(response.headers()["retry-after"], "7");
    }
    let answer: Value = response.json().await.expect("JSON");
    let message = answer["error"]["message"].as_str().expect("a message");
    assert!(
        message.contains(name) && !message.contains("wrong key") && !message.contains("127.0.0.1"),
        "{message}"
    );
}

#[tokio::test]
async fn an_api_that_asked_for_a_pause_gets_it() {
    let upstream = Upstream::start().await;
    let gateway = with_fallback(&upstream, "busy").await;
    for _ in 0..3 {
        let (status, answer) = gateway.ask("/ask", &chat("busy")).await;
        assert_eq!((status, &answer["model"]), (200, &json!("good")));
    }
    let response = gateway
        .chat("/v1/chat/completions", &chat("busy"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status(), 429);
    let seconds = response.headers()["retry-after"].to_str().expect("text");
    assert!((1..=7).contains(&seconds.parse().expect("a number")));
    let asked = upstream.requests();
    let busy = asked.iter().filter(|body| body["model"] == "busy");
    assert_eq!(busy.count(), 1, "{asked:?}");
    let model = |status: &Value| status["models"].as_array().expect("models")[1].clone();
    let status = model(&gateway.status().await);
    assert_eq!(status["state"], "resting", "{status}");
    let reason = status["reason"].as_str().expect("a reason");
    assert!(reason.contains("asked for a pause"), "{reason}");
    let (_, metrics) = gateway.managed("/metrics").await;
    for (name, expected) in [("busy", 1), ("good", 0)] {
        let line = format!(r#"model_resting{{model="{name}"}} {expected}"#);
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
}

#[tokio::test]
async fn an_api_that_keeps_failing_is_left_alone_until_it_is_repaired() {
    let upstream = Upstream::start().await;
    let gateway = with_fallback(&upstream, "broken").await;
    for _ in 0..8 {
        let (status, _) = gateway.ask("/ask", &chat("broken")).await;
        assert_eq!(status, 200);
    }
    let asked = |upstream: &Upstream| {
        let requests = upstream.requests();
        let broken = requests.iter().filter(|body| body["model"] == "broken");
        broken.count()
    };
    assert_eq!(asked(&upstream), 5);
    // Nobody else is there: it is asked all the same.
    let (status, _) = gateway.ask("/v1/chat/completions", &chat("broken")).await;
    assert_eq!((status, asked(&upstream)), (502, 6));
}

#[tokio::test]
async fn an_api_that_may_not_be_called_is_told_in_the_log() {
    let upstream = Upstream::start().await;
    let port = upstream.address.port();
    let manifest = json!({
        "apiVersion": "claw.dev/v1alpha1",
        "kind": "ClawGateway",
        "metadata": {"name": "desk"},
        "spec": {
            "tls": {"disabled": {}},
            "auth": {"anonymous": {}},
            "models": [{"name": "hidden", "remote": {
                "provider": "OpenAI", "baseURL": format!("http://localhost:{port}/v1"),
            }}],
        },
    });
    let folder = tempfile::tempdir().expect("a folder");
    let manifests = folder.path().join("manifests");
    fs::create_dir(&manifests).expect("a folder");
    fs::write(manifests.join("gateway.json"), manifest.to_string()).expect("written");
    let client = crate::binary::client_builder().build().expect("a client");
    let gateway = Binary::start_with_environment(
        folder,
        &["--manifests".to_owned(), manifests.display().to_string()],
        ("http", client),
        &[("CLAWDBOT_ALLOW_OUTBOUND", "10.0.0.0/8")],
    )
    .await;
    let (status, answer) = gateway.ask("/v1/chat/completions", &chat("hidden")).await;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (502, &json!("upstream_not_allowed"))
    );
    let message = answer["error"]["message"].as_str().expect("a message");
    assert!(!message.contains("127.0.0.1"), "{message}");
    let log = gateway.log();
    assert!(log.contains("localhost leads to"), "{log}");
    assert!(
        log.contains("add localhost to spec.outbound.allowedHosts"),
        "{log}"
    );
}
