//! The audit log of the real program: what is in it, what a crash leaves of it, and what happens while it cannot be
//! written.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::audit_sinks;
use crate::binary::{Binary, chat, command, events, said, stream, until};
use crate::upstream::Upstream;

/// Kills, as many as the promise is made for.
const KILLS: usize = 20;

fn arguments(upstream: &Upstream) -> Vec<String> {
    let mut arguments = upstream.models(&["far", "broken"]);
    arguments.push("--audit".to_owned());
    arguments
}

fn log(gateway: &Binary) -> PathBuf {
    gateway.path("state").join("audit")
}

/// `clawdbot audit …` over a gateway's state.
async fn audit(folder: &Path, arguments: &[&str]) -> Output {
    command(folder)
        .arg("audit")
        .args(arguments)
        .output()
        .await
        .expect("runs")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The records of a log, as exported.
pub(crate) async fn records(folder: &Path, filter: &[&str]) -> Vec<Value> {
    let output = audit(folder, &[&["export"], filter].concat()).await;
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8(output.stdout)
        .expect("UTF-8")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

pub(crate) async fn expect_whole(folder: &Path) {
    let output = audit(folder, &["verify"]).await;
    assert!(output.status.success(), "{}", text(&output));
}

fn select<'a>(records: &'a [Value], action: &str) -> Vec<&'a Value> {
    records
        .iter()
        .filter(|record| record["event.action"] == action)
        .collect()
}

#[tokio::test]
async fn every_request_and_every_change_is_on_record() {
    let upstream = Upstream::start().await;
    let mut gateway = Binary::start(&arguments(&upstream)).await;
    let path = "/v1/chat/completions";
    assert_eq!(gateway.ask(path, &chat("far")).await.0, 200);
    let streamed = gateway.chat(path, &stream("far")).send().await;
    events(streamed.expect("an answer")).await;
    assert_eq!(gateway.ask(path, &chat("broken")).await.0, 502);
    let stranger = gateway
        .client
        .get(gateway.url("/v1/models?key=planted-secret"))
        .header(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        )
        .bearer_auth("wrong-secret")
        .send()
        .await
        .expect("an answer");
    assert_eq!(stranger.status(), 401);
    gateway.signal("-TERM");
    assert_eq!(gateway.end().await.code(), Some(0));

    let all = records(gateway.folder.path(), &[]).await;
    let actions: Vec<_> = all
        .iter()
        .map(|record| record["event.action"].clone())
        .collect();
    assert_eq!(
        actions,
        [
            "gateway-started",
            "configuration-applied",
            "certificate-changed",
            "access-changed",
            "request",
            "request",
            "request",
            "request",
            "gateway-stopped",
        ]
    );
    assert_eq!(all[3]["claw.access.added"], json!(["env/CLAWDBOT_API_KEY"]));
    for answered in &all[4..6] {
        assert_eq!(
            [
                &answered["user.name"],
                &answered["claw.model"],
                &answered["claw.tokens.prompt"],
                &answered["claw.tokens.completion"],
                &answered["claw.decision"],
                &answered["event.outcome"],
                &answered["client.ip"],
            ],
            [
                &json!("env/CLAWDBOT_API_KEY"),
                &json!("far"),
                &json!(3),
                &json!(2),
                &json!("allowed"),
                &json!("success"),
                &json!("127.0.0.1"),
            ],
            "{answered}"
        );
    }
    assert_eq!(all[6]["event.reason"], "upstream_error");
    assert_eq!(all[6]["event.outcome"], "failure");
    let denied = &all[7];
    assert_eq!(denied["claw.decision"], "denied");
    assert_eq!(denied["event.reason"], "invalid_api_key");
    assert_eq!(denied["url.path"], "/v1/models");
    assert_eq!(denied["trace.id"], "0af7651916cd43dd8448eb211c80319c");
    for secret in [
        "planted-secret",
        "wrong-secret",
        crate::binary::KEY,
        "far-key",
    ] {
        assert!(!json!(all).to_string().contains(secret), "{secret}");
    }
    expect_whole(gateway.folder.path()).await;
}

#[tokio::test]
async fn records_are_filtered_followed_and_put_into_tables() {
    let upstream = Upstream::start().await;
    let gateway = Binary::start(&arguments(&upstream)).await;
    let folder = gateway.folder.path();
    let mut tail = command(folder)
        .args(["audit", "tail", "-n", "0", "-f", "--action", "request"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("runs");
    assert_eq!(
        gateway.ask("/v1/chat/completions", &chat("far")).await.0,
        200
    );
    let mut lines = {
        use tokio::io::AsyncBufReadExt as _;
        tokio::io::BufReader::new(tail.stdout.take().expect("a pipe")).lines()
    };
    // It may have begun after the first one.
    let line = loop {
        if let Ok(line) = tokio::time::timeout(Duration::from_secs(1), lines.next_line()).await {
            break line.expect("readable").expect("a line");
        }
        assert_eq!(
            gateway.ask("/v1/chat/completions", &chat("far")).await.0,
            200
        );
    };
    let followed: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(followed["claw.model"], "far");
    tail.kill().await.expect("killed");

    let mine = [
        "--user",
        "env/CLAWDBOT_API_KEY",
        "--model",
        "far",
        "--since",
        "1h",
    ];
    assert!(!records(folder, &mine).await.is_empty());
    assert!(records(folder, &["--user", "nobody"]).await.is_empty());
    assert!(records(folder, &["--until", "1h"]).await.is_empty());
    let table = audit(folder, &["export", "--format", "csv", "--model", "far"]).await;
    let table = String::from_utf8(table.stdout).expect("UTF-8");
    assert!(table.starts_with("@timestamp,event.sequence,"), "{table}");
    assert!(
        table.contains(",env/CLAWDBOT_API_KEY,POST,/v1/chat/completions,200,"),
        "{table}"
    );
    let wrong = audit(folder, &["export", "--since", "yesterday"]).await;
    assert_eq!(wrong.status.code(), Some(64));
}

#[tokio::test]
async fn nothing_that_was_said_is_on_record_otherwise() {
    let upstream = Upstream::start().await;
    let mut gateway = Binary::start(&arguments(&upstream)).await;
    let mut asked = chat("far");
    asked["messages"][0]["content"] = "planted-words".into();
    assert_eq!(gateway.ask("/v1/chat/completions", &asked).await.0, 200);
    gateway.signal("-TERM");
    gateway.end().await;
    let all = json!(records(gateway.folder.path(), &[]).await).to_string();
    assert!(
        !all.contains("planted-words") && !all.contains("claw.content"),
        "{all}"
    );
}

#[tokio::test]
async fn what_was_said_is_on_record_where_it_is_asked_for() {
    let upstream = Upstream::start().await;
    let far = json!(format!("http://{}/v1", upstream.address));
    let folder = audit_sinks::audited(&json!({"content": "Full"}), &far);
    let mut gateway = audit_sinks::start(folder).await;
    let path = "/v1/chat/completions";
    let (status, answer) = gateway.ask(path, &chat("far")).await;
    assert_eq!(status, 200);
    let whole = &answer["choices"][0]["message"]["content"];
    let streamed = gateway.chat(path, &stream("far")).send().await;
    let streamed = said(&events(streamed.expect("an answer")).await);
    let mut long = chat("far");
    long["messages"][0]["content"] = "x".repeat(20_000).into();
    assert_eq!(gateway.ask(path, &long).await.0, 200);
    gateway.signal("-TERM");
    gateway.end().await;
    let all = records(gateway.folder.path(), &["--action", "request"]).await;
    let prompt = json!([{"role": "user", "text": "hi"}]);
    for (record, answer) in [(&all[0], whole), (&all[1], &json!(streamed))] {
        assert_eq!(record["claw.content.prompt"], prompt);
        assert_eq!(record["claw.content.answer"], json!([answer]));
        assert_eq!(record["claw.content.truncated"], false);
    }
    let kept = all[2]["claw.content.prompt"][0]["text"].as_str();
    assert_eq!(kept.map(str::len), Some(16 << 10));
    assert_eq!(all[2]["claw.content.truncated"], true);
    expect_whole(gateway.folder.path()).await;
}

#[tokio::test]
async fn one_flipped_byte_is_named() {
    let upstream = Upstream::start().await;
    let mut gateway = Binary::start(&arguments(&upstream)).await;
    assert_eq!(
        gateway.ask("/v1/chat/completions", &chat("far")).await.0,
        200
    );
    gateway.signal("-TERM");
    gateway.end().await;
    let chain = log(&gateway).join("chain-0");
    let segment = std::fs::read_dir(&chain)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .find(|path| {
            path.extension()
                .is_some_and(|extension| extension == "jsonl")
        })
        .expect("a segment");
    let content = std::fs::read_to_string(&segment).expect("read");
    std::fs::write(&segment, content.replacen("\"far\"", "\"fur\"", 1)).expect("written");
    let output = audit(gateway.folder.path(), &["verify"]).await;
    assert_eq!(output.status.code(), Some(65));
    let said = text(&output);
    let place = format!("{} line 5, record 5", segment.display());
    assert!(said.contains(&place) && said.contains("altered"), "{said}");
}

#[tokio::test]
async fn twenty_kills_under_load_lose_no_acknowledged_record() {
    let upstream = Upstream::start().await;
    let arguments = arguments(&upstream);
    let mut folder = tempfile::tempdir().expect("a folder");
    let mut acknowledged = 0;
    for round in 0..KILLS {
        std::fs::remove_file(folder.path().join("ports.json")).ok();
        let mut gateway = Binary::start_in(folder, &arguments).await;
        let mut load = JoinSet::new();
        for _ in 0..4 {
            let (client, url) = (gateway.client.clone(), gateway.url("/v1/models"));
            load.spawn(async move {
                while client
                    .get(&url)
                    .bearer_auth(crate::binary::KEY)
                    .send()
                    .await
                    .is_ok()
                {}
            });
        }
        let enough = acknowledged + 20 + 7 * round as u64;
        acknowledged = until("records are acknowledged", async || {
            let on_disk = gateway.status().await["audit"]["acknowledged"].as_u64();
            on_disk.filter(|on_disk| *on_disk >= enough)
        })
        .await;
        gateway.signal("-KILL");
        gateway.end().await;
        load.join_all().await;
        folder = gateway.into_folder();
        expect_whole(folder.path()).await;
        let last = records(folder.path(), &[]).await.len() as u64;
        assert!(
            last >= acknowledged,
            "round {round}: {last} of {acknowledged}"
        );
        acknowledged = last;
    }
    let all = records(folder.path(), &[]).await;
    assert_eq!(select(&all, "gateway-started").len(), KILLS);
    assert!(select(&all, "audit-tail-missing").is_empty());
}

#[tokio::test]
async fn a_full_disk_blocks_until_there_is_room() {
    let upstream = Upstream::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let Some(disk) = SmallDisk::mount(folder.path().join("state").join("audit")) else {
        println!("skipped: only root mounts a small disk");
        return;
    };
    let gateway = Binary::start_in(folder, &arguments(&upstream)).await;
    let path = "/v1/chat/completions";
    assert_eq!(gateway.ask(path, &chat("far")).await.0, 200);
    disk.fill();
    let refused = until("requests are refused", async || {
        let (status, body) = gateway.ask(path, &chat("far")).await;
        (status == 503).then_some(body)
    })
    .await;
    assert_eq!(refused["error"]["code"], "audit_unavailable");
    let fault = gateway.status().await["audit"]["fault"].clone();
    assert!(
        fault
            .as_str()
            .is_some_and(|fault| fault.contains("free some space")),
        "{fault}"
    );
    assert_eq!(gateway.metric("claw_gateway_audit_failing").await, 1);
    disk.empty();
    until("requests are served", async || {
        (gateway.ask(path, &chat("far")).await.0 == 200).then_some(())
    })
    .await;
    assert_eq!(gateway.metric("claw_gateway_audit_failing").await, 0);
    assert_eq!(gateway.metric("claw_gateway_audit_lost_total").await, 0);
    expect_whole(gateway.folder.path()).await;
}

/// A file system with little room.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: PathBuf) -> Option<Self> {
        std::fs::create_dir_all(&at).expect("made");
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
            .arg(&at)
            .output();
        mounted
            .is_ok_and(|output| output.status.success())
            .then_some(Self(at))
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// To the last byte.
    fn fill(&self) {
        use std::io::Write as _;
        let mut file = std::fs::File::create(self.ballast()).expect("made");
        while file.write(&[0; 512]).is_ok() {}
    }

    fn empty(&self) {
        std::fs::remove_file(self.ballast()).expect("removed");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the gateway is still there.
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(&self.0)
            .status();
    }
}
