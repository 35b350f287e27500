//! A database that is lost, and a disk that is full: nothing is granted that is not counted, all is told, and it goes
//! on by itself.

use std::io::Write as _;
use std::path::Path;

use claw_crds::GatewayConfig;
use claw_crds::gateway_config::{BudgetConfig, BudgetsConfig, ModelBudgetConfig, PricesConfig};
use clawdbot::store::Place;
use serde_json::{Value, json};

use crate::gateway::{Gateway, TOKENS, config, until, upstream};
use crate::postgres::Postgres;

fn per_day(tokens: u64) -> BudgetsConfig {
    BudgetsConfig {
        gateway: BudgetConfig {
            tokens_per_day: Some(tokens),
            ..BudgetConfig::default()
        },
        ..BudgetsConfig::default()
    }
}

fn remaining(response: &reqwest::Response) -> u64 {
    let text = response.headers()["x-ratelimit-remaining-tokens"].to_str();
    text.expect("text").parse().expect("a number")
}

/// Ask until nothing is granted for want of counting.
async fn until_refused(gateway: &Gateway) {
    let refused = until("requests are refused", async || {
        let response = gateway.ask().await.expect("an answer");
        (response.status() == 503).then_some(response)
    })
    .await;
    assert!(refused.headers().contains_key("retry-after"));
    let body: Value = refused.json().await.expect("JSON");
    assert_eq!(body["error"]["code"], "limits_unavailable", "{body}");
    assert_eq!(
        gateway.get("/v1/models").await.status(),
        200,
        "what needs no count"
    );
}

#[tokio::test]
async fn a_database_that_is_lost_is_told_and_found_again() {
    let mut postgres = Postgres::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let config = config(upstream(), per_day(1000), &postgres.place());
    let gateway = Gateway::start(&config, folder.path(), &[]).await;
    gateway.until_ready(true).await;
    let first = gateway.ask().await.expect("an answer");
    assert_eq!(first.status(), 200);
    assert_eq!(remaining(&first), 1000 - TOKENS);

    postgres.kill().await;
    until_refused(&gateway).await;
    let reasons = gateway.until_ready(false).await;
    assert!(reasons.contains("limits cannot be counted"), "{reasons}");
    let (_, status) = gateway.manage("/status").await;
    let status: Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(status["state"]["available"], false, "{status}");
    let (_, metrics) = gateway.manage("/metrics").await;
    assert!(
        metrics.contains("claw_gateway_state_available{} 0"),
        "{metrics}"
    );
    let refused = r#"claw_gateway_limited_requests_total{scope="gateway",limit="unavailable"}"#;
    assert!(metrics.contains(refused), "{metrics}");

    postgres.resume().await;
    gateway.until_ready(true).await;
    let after = until("requests are answered", async || {
        let response = gateway.ask().await.expect("an answer");
        (response.status() == 200).then_some(response)
    })
    .await;
    assert_eq!(
        remaining(&after),
        1000 - 2 * TOKENS,
        "what was used is known"
    );
}

/// Everything that fits.
pub(crate) fn fill(file: &Path) {
    let mut file = std::fs::File::create(file).expect("a file");
    let mut size = 1 << 16;
    while size > 0 {
        if file.write_all(&vec![0; size]).is_err() {
            size /= 2;
        }
    }
}

/// The program with a small disk at `state` that only the program sees, in namespaces that need no rights.
pub(crate) async fn start_on_small_disk(
    config: &GatewayConfig,
    folder: &Path,
    state: &Path,
) -> Gateway {
    let mount = format!(
        "mount -t tmpfs -o size=2m none {} && exec \"$@\"",
        state.display()
    );
    let wrapper = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "--",
        "sh",
        "-c",
        &mount,
        "sh",
    ];
    Gateway::start(config, folder, &wrapper).await
}

#[tokio::test]
async fn a_full_disk_is_told_and_goes_on_once_there_is_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    std::fs::create_dir(&state).expect("a folder");
    let config = config(upstream(), per_day(1_000_000), &Place::in_directory(&state));
    let gateway = start_on_small_disk(&config, folder.path(), &state).await;
    gateway.until_ready(true).await;
    let first = gateway.ask().await.expect("an answer");
    assert_eq!(first.status(), 200, "{}", first.text().await.expect("text"));
    let before = 1_000_000 - TOKENS;
    assert_eq!(remaining(&first), before);

    let seen = format!("/proc/{}/root{}/filler", gateway.id(), state.display());
    fill(Path::new(&seen));
    let mut granted = 0;
    until("requests are refused", async || {
        let response = gateway.ask().await.expect("an answer");
        granted += u64::from(response.status() == 200);
        (response.status() == 503).then_some(())
    })
    .await;
    let reasons = gateway.until_ready(false).await;
    assert!(reasons.contains("state.db"), "{reasons}");

    std::fs::remove_file(&seen).expect("removed");
    gateway.until_ready(true).await;
    let after = until("requests are answered", async || {
        let response = gateway.ask().await.expect("an answer");
        (response.status() == 200).then_some(response)
    })
    .await;
    assert_eq!(remaining(&after), before - (granted + 1) * TOKENS);
}

#[tokio::test]
async fn each_limit_is_named_with_when_to_come_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::in_directory(folder.path());
    let mut budgets = BudgetsConfig {
        per_key: BudgetConfig {
            cost_per_month: Some(1_000),
            ..BudgetConfig::default()
        },
        ..per_day(10_000)
    };
    let model = ModelBudgetConfig {
        // 6 for a million tokens of answers: 0.000552 each time.
        prices: Some(PricesConfig {
            input: 0,
            output: 6_000_000,
        }),
        budget: BudgetConfig {
            requests_per_minute: Some(50),
            ..BudgetConfig::default()
        },
    };
    budgets.models.insert("far".into(), model);
    let config = config(upstream(), budgets, &place);
    let gateway = Gateway::start(&config, folder.path(), &[]).await;
    gateway.until_ready(true).await;

    let response = gateway
        .ask_for(&json!({"max_tokens": 20_000}))
        .await
        .expect("an answer");
    assert_eq!(response.status(), 400);
    let body: Value = response.json().await.expect("JSON");
    assert_eq!(body["error"]["param"], "max_tokens", "{body}");
    let message = body["error"]["message"].as_str().expect("text");
    assert!(
        message.contains("limits.tokensPerDay allows 10000 tokens"),
        "{message}"
    );

    assert_eq!(gateway.ask().await.expect("an answer").status(), 200);
    let response = gateway.ask().await.expect("an answer");
    assert_eq!(response.status(), 429, "0.001104 of 0.001");
    assert!(response.headers().contains_key("retry-after"));
    assert_eq!(response.headers()["x-ratelimit-limit-tokens"], "10000");
    assert_eq!(remaining(&response), 10_000 - TOKENS);
    let body: Value = response.json().await.expect("JSON");
    let message = body["error"]["message"].as_str().expect("text");
    assert!(
        message.contains("limits.perKey.costPerMonth of cost 0.001"),
        "{message}"
    );
    assert_eq!(body["error"]["code"], "rate_limit_exceeded");
    let (_, status) = gateway.manage("/status").await;
    assert!(status.contains("state.db"), "{status}");
    gateway.kill().await;
}
