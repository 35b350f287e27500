//! Which rule takes a request, and which of its models answers.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rstest::rstest;
use serde_json::json;

use crate::binary::{Binary, chat, events, said, stream, until};
use crate::upstream::Upstream;

const CHAT: &str = "/v1/chat/completions";

/// Replace the routing file as an editor does, by a rename.
fn write(folder: &Path, rules: &str) {
    fs::write(folder.join("next.yaml"), format!("routes:\n{rules}\n")).expect("written");
    fs::rename(folder.join("next.yaml"), folder.join("routes.yaml")).expect("replaced");
}

async fn start(upstream: &Upstream, models: &[&str], rules: &str) -> Binary {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), rules);
    let mut arguments = upstream.models(models);
    arguments.extend([
        "--routes".to_owned(),
        folder.path().join("routes.yaml").display().to_string(),
    ]);
    Binary::start_in(folder, &arguments).await
}

/// Who answers.
async fn answering(gateway: &Binary, model: &str, header: Option<(&str, &str)>) -> String {
    let mut request = gateway.chat(CHAT, &chat(model));
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    let headers = response.headers();
    headers["x-claw-model"].to_str().expect("text").to_owned()
}

#[tokio::test]
async fn an_alias_is_asked_for_listed_and_counted() {
    let upstream = Upstream::start().await;
    let rules = "- {alias: fast, model: red}\n- {alias: red, model: green}";
    let gateway = start(&upstream, &["red", "green"], rules).await;
    assert_eq!(answering(&gateway, "fast", None).await, "red");
    assert_eq!(
        answering(&gateway, "red", None).await,
        "green",
        "an alias stands before the model of its name"
    );
    let list = gateway.client.get(gateway.url("/v1/models"));
    let list = list.bearer_auth(crate::binary::KEY).send().await;
    let list: serde_json::Value = list.expect("an answer").json().await.expect("JSON");
    let names: Vec<_> = list["data"]
        .as_array()
        .expect("models")
        .iter()
        .map(|model| model["id"].clone())
        .collect();
    assert_eq!(names, ["red", "green", "fast"]);
    let one = gateway.client.get(gateway.url("/v1/models/fast"));
    let one = one.bearer_auth(crate::binary::KEY).send().await;
    let one: serde_json::Value = one.expect("an answer").json().await.expect("JSON");
    assert_eq!(one["owned_by"], "route");
    let (_, metrics) = gateway.managed("/metrics").await;
    let origin = gateway.path("routes.yaml").display().to_string();
    let line = format!(r#"routed_requests_total{{route="{origin} routes[0]",model="red"}} 1"#);
    assert!(metrics.contains(&line), "{line} is not in {metrics}");
    let rules = gateway.status().await["routes"].clone();
    assert_eq!(
        (&rules[0]["alias"], &rules[0]["targets"]),
        (&json!("fast"), &json!(["red"]))
    );
    until("the log names the rule", async || {
        gateway.log().contains("routes[1]").then_some(())
    })
    .await;
}

#[tokio::test]
async fn headers_choose_between_rules() {
    let upstream = Upstream::start().await;
    let rules = "\
- {alias: fast, headers: [{name: X-Tier, value: gold}], model: red}
- {alias: fast, headers: [{name: x-team, type: RegularExpression, value: '^(ops|dev)-[0-9]+$'}], model: blue}
- {alias: fast, model: green}
- {pattern: ^/vip$, headers: [{name: x-tier, value: gold}], model: red}";
    let gateway = start(&upstream, &["red", "green", "blue"], rules).await;
    for (header, expected) in [
        (Some(("x-tier", "gold")), "red"),
        (Some(("X-TIER", "golden")), "green"),
        (Some(("x-team", "dev-12")), "blue"),
        (Some(("x-team", "dev-")), "green"),
        (None, "green"),
    ] {
        let answered = answering(&gateway, "fast", header).await;
        assert_eq!(answered, expected, "{header:?}");
    }
    let (status, error) = gateway.ask("/vip", &chat("red")).await;
    assert_eq!(status, 404);
    let message = error["error"]["message"].as_str().expect("a message");
    assert!(message.contains("headers"), "{message}");
}

#[rstest]
#[case("heals", "upstream_error")]
#[case("back-soon", "upstream_rate_limited")]
#[case("locked", "upstream_rejected")]
#[tokio::test]
async fn a_model_that_heals_answers_itself(#[case] name: &str, #[case] reason: &str) {
    for streams in [true, false] {
        let upstream = Upstream::start().await;
        let rules =
            format!("- {{alias: a, model: {name}, fallback: good, retries: {{attempts: 1}}}}");
        let gateway = start(&upstream, &[name, "good"], &rules).await;
        let mut body = stream("a");
        body["stream"] = streams.into();
        let response = gateway.chat(CHAT, &body).send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["x-claw-model"], name);
        if streams {
            assert_eq!(said(&events(response).await), "Hello");
        }
        assert_eq!(upstream.requests().len(), 2);
        let (_, metrics) = gateway.managed("/metrics").await;
        let line = format!(r#"retries_total{{model="{name}",reason="{reason}"}} 1"#);
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
}

#[tokio::test]
async fn a_canary_grows_by_edits_and_no_request_is_lost() {
    let upstream = Upstream::start().await;
    let shares = |old: u32, new: u32| {
        format!(
            "- {{alias: a, backends: [{{model: old, weight: {old}}}, {{model: new, weight: {new}}}]}}"
        )
    };
    let gateway = Arc::new(start(&upstream, &["old", "new"], &shares(100, 0)).await);
    let stop = Arc::new(AtomicBool::new(false));
    let mut load = tokio::task::JoinSet::new();
    for client in 0..4 {
        let (gateway, stop) = (Arc::clone(&gateway), Arc::clone(&stop));
        load.spawn(async move {
            let mut served = 0;
            while !stop.load(Ordering::Relaxed) {
                if client % 2 == 0 {
                    answering(&gateway, "a", None).await;
                } else {
                    let response = gateway.chat(CHAT, &stream("a")).send().await;
                    let events = events(response.expect("an answer")).await;
                    assert_eq!(said(&events), "Hello");
                }
                served += 1;
            }
            served
        });
    }
    for (old, new) in [(90, 10), (50, 50), (0, 100)] {
        write(gateway.folder.path(), &shares(old, new));
        until("the new shares are in force", async || {
            let backends = gateway.status().await["routes"][0]["backends"].clone();
            (backends[1]["weight"] == new).then_some(())
        })
        .await;
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        for _ in 0..100 {
            *counts
                .entry(answering(&gateway, "a", None).await)
                .or_default() += 1;
        }
        let got = counts.get("new").copied().unwrap_or(0);
        // The other clients take turns as well, so not every count is exact; all or nothing is.
        match new {
            100 => assert_eq!(got, 100, "{counts:?}"),
            new => assert!(got > 0 && got.abs_diff(new) < 30, "{counts:?}"),
        }
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(client) = load.join_next().await {
        assert!(client.expect("no request failed") > 0);
    }
}

#[tokio::test]
async fn turns_are_as_exact_as_the_weights() {
    let upstream = Upstream::start().await;
    let rules = "- {alias: a, backends: [{model: red, weight: 9}, {model: green}, {model: blue, weight: 0}]}";
    let gateway = start(&upstream, &["red", "green", "blue"], rules).await;
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..200 {
        *counts
            .entry(answering(&gateway, "a", None).await)
            .or_default() += 1;
    }
    assert!(counts["green"].abs_diff(20) <= 3, "{counts:?}");
    assert_eq!(counts.get("blue"), None);
}

#[tokio::test]
async fn what_is_wrong_with_a_rule_is_told_by_its_place() {
    let upstream = Upstream::start().await;
    let gateway = start(&upstream, &["good"], "- {alias: a, model: good}").await;
    write(
        gateway.folder.path(),
        "- {model: good}\n- {alias: b, model: good, backends: [{model: good}]}",
    );
    let problems = until("the refusal is shown", async || {
        let problems = gateway.status().await["refusedConfig"]["problems"].clone();
        problems.is_array().then_some(problems)
    })
    .await;
    assert_eq!(
        problems,
        json!([
            "routes[0]: set pattern, alias or both",
            "routes[1]: set exactly one of model and backends"
        ])
    );
    assert_eq!(answering(&gateway, "a", None).await, "good");
}
