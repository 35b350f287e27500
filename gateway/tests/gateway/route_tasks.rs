//! The routes' own paths, whose models say what is sent there.

use std::path::Path;

use rstest::rstest;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::binary::{Binary, chat, events};
use crate::passed_on::Api;
use crate::upstream::Upstream;

const RULES: &str = "routes:
- {pattern: ^/short$, model: brief}
- {pattern: ^/short/retried$, model: broken, fallback: brief}
- {pattern: ^/chat$, model: talk}
- {pattern: ^/vectors$, model: down, fallback: embed}
- {pattern: ^/best$, model: rank}
- {pattern: ^/v1/, model: talk}
";

fn written(rules: &str) -> (TempDir, [String; 2]) {
    let folder = tempfile::tempdir().expect("a folder");
    let routes = folder.path().join("routes.yaml");
    std::fs::write(&routes, rules).expect("written");
    let arguments = ["--routes".to_owned(), routes.display().to_string()];
    (folder, arguments)
}

/// A gateway before an API that chats and one that does everything else.
async fn start(chats: &Upstream, others: &Api, more: &[&str]) -> Binary {
    let (folder, routes) = written(RULES);
    let mut arguments = chats.models(&["brief", "broken", "talk"]);
    arguments.extend(others.arguments.clone());
    arguments.push("--audit".to_owned());
    let tasks = [
        "brief=Summarize",
        "broken=Summarize",
        "down=Embed",
        "embed=Embed",
        "rank=Rerank",
    ];
    arguments.extend(tasks.map(|task| format!("--model-task={task}")));
    arguments.extend(routes);
    arguments.extend(more.iter().map(|&argument| argument.to_owned()));
    Binary::start_in(folder, &arguments).await
}

async fn apis() -> (Upstream, Api) {
    (
        Upstream::start().await,
        Api::start(&["down", "embed", "rank"]).await,
    )
}

#[rstest]
#[case::first("/short", 1)]
#[case::after_one_that_failed("/short/retried", 2)]
#[tokio::test]
async fn a_text_is_summarized(#[case] path: &str, #[case] asked: usize) {
    let (chats, others) = apis().await;
    let gateway = start(&chats, &others, &[]).await;
    let body = json!({"text": "A long story.", "max_tokens": 7, "novel": true});
    let (status, answer) = gateway.ask(path, &body).await;
    assert_eq!(
        (status, &answer),
        (
            200,
            &json!({
                "summary": "Hello", "model": "brief", "finish_reason": "stop",
                "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
            })
        )
    );
    let requests = chats.requests();
    assert_eq!(requests.len(), asked);
    let sent = &requests[asked - 1];
    assert_eq!(sent["messages"][1]["content"], "A long story.");
    assert_eq!(
        (&sent["max_tokens"], &sent["novel"]),
        (&json!(7), &json!(true))
    );
    assert!(sent.get("text").is_none(), "{sent}");
    let (_, metrics) = gateway.managed("/metrics").await;
    for line in [
        r#"claw_gateway_tokens_total{model="brief",kind="prompt"} 3"#,
        r#"claw_gateway_tokens_total{model="brief",kind="completion"} 2"#,
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    expect_record(gateway, path).await;
}

/// The audit log has the request, with its model and tokens.
async fn expect_record(mut gateway: Binary, path: &str) {
    gateway.signal("-TERM");
    assert!(gateway.end().await.success());
    let records = records(gateway.folder.path());
    let record = records.iter().find(|record| record["url.path"] == path);
    let record = record.expect("the request is recorded");
    assert_eq!(record["claw.model"], "brief");
    assert_eq!(record["claw.tokens.prompt"], 3);
    assert_eq!(record["claw.tokens.completion"], 2);
}

fn records(folder: &Path) -> Vec<Value> {
    let chain = std::fs::read_dir(folder.join("state/audit/chain-0")).expect("a chain");
    let paths = chain.map(|entry| entry.expect("an entry").path());
    let segments = paths.filter(|path| path.extension().is_some_and(|end| end == "jsonl"));
    segments
        .flat_map(|path| {
            let text = std::fs::read_to_string(path).expect("readable");
            text.lines()
                .map(|line| serde_json::from_str(line).expect("JSON"))
                .collect::<Vec<Value>>()
        })
        .collect()
}

#[tokio::test]
async fn a_summary_comes_in_pieces_that_end_with_its_usage() {
    let (chats, others) = apis().await;
    let gateway = start(&chats, &others, &[]).await;
    let body = json!({"stream": true, "messages": [
        {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Good day"},
    ]});
    let request = gateway.chat("/short", &body);
    let response = request.send().await.expect("an answer");
    assert_eq!(response.headers()["x-claw-model"], "brief");
    let events = events(response).await;
    let (done, pieces) = events.split_last().expect("events");
    let pieces: Vec<Value> = pieces
        .iter()
        .map(|event| serde_json::from_str(event).expect("JSON"))
        .collect();
    let said: String = pieces
        .iter()
        .map(|piece| piece["summary"].as_str().expect("a text"))
        .collect();
    assert_eq!((said.as_str(), done.as_str()), ("Hello", "[DONE]"));
    assert!(pieces.iter().all(|piece| piece["model"] == "brief"));
    assert_eq!(pieces.last().expect("pieces")["usage"]["total_tokens"], 5);
    let sent = &chats.requests()[0]["messages"][1]["content"];
    assert_eq!(sent, "user: Hi\n\nassistant: Good day");
}

#[tokio::test]
async fn vectors_and_rankings_have_paths_and_fallbacks() {
    let (chats, others) = apis().await;
    let gateway = start(&chats, &others, &[]).await;
    let (status, answer) = gateway.ask("/vectors", &json!({"input": ["a"]})).await;
    assert_eq!(
        (status, &answer["model"]),
        (200, &json!("embed")),
        "{answer}"
    );
    assert_eq!(answer["object"], "list");
    assert_eq!(
        answer["usage"],
        json!({"prompt_tokens": 8, "total_tokens": 8})
    );
    let body = json!({"query": "q", "documents": ["a", "b"], "top_n": 1});
    let (status, answer) = gateway.ask("/best", &body).await;
    assert_eq!(
        (status, &answer["model"]),
        (200, &json!("rank")),
        "{answer}"
    );
    assert_eq!(answer["results"][0]["index"], 1);
    let seen = others.seen.lock().expect("not poisoned");
    let paths: Vec<_> = seen.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["/v1/embeddings", "/v1/embeddings", "/v1/rerank"]);
    assert_eq!(seen[2].1["top_n"], 1);
}

#[rstest]
#[case("/short", json!({"input": "a"}), "text", "Summarize")]
#[case("/vectors", json!({"messages": [{"role": "user", "content": "a"}]}), "input", "Embed")]
#[case("/best", json!({"text": "a"}), "query", "Rerank")]
#[case("/best", json!({"query": "a"}), "documents", "documents")]
#[case("/chat", json!({"text": "a"}), "messages", "Chat")]
#[case("/short", json!({"text": "a", "n": 2}), "n", "leave it out")]
#[case("/vectors", json!({"input": "a", "model": 7}), "model", "a string")]
#[tokio::test]
async fn a_body_of_another_task_is_refused_by_its_field(
    #[case] path: &str,
    #[case] body: Value,
    #[case] field: &str,
    #[case] told: &str,
) {
    let (chats, others) = apis().await;
    let gateway = start(&chats, &others, &[]).await;
    let (status, error) = gateway.ask(path, &body).await;
    let error = &error["error"];
    assert_eq!((status, &error["param"]), (400, &json!(field)), "{error}");
    let message = error["message"].as_str().expect("a message");
    assert!(message.contains(told), "{message}");
    assert!(chats.requests().is_empty() && others.seen.lock().expect("not poisoned").is_empty());
}

#[tokio::test]
async fn the_paths_of_the_api_keep_their_bodies() {
    let (chats, others) = apis().await;
    let gateway = start(&chats, &others, &["--rate-limit", "1000"]).await;
    let (status, answer) = gateway.ask("/v1/chat/completions", &chat("brief")).await;
    assert_eq!(
        (status, &answer["object"]),
        (200, &json!("chat.completion"))
    );
    let (status, answer) = gateway.ask("/chat", &chat("whatever")).await;
    assert_eq!((status, &answer["model"]), (200, &json!("talk")));
}

#[rstest]
#[case(
    "- {pattern: ^/x, model: embed, fallback: near}",
    "the task of the model is Chat"
)]
#[case(
    "- {pattern: ^/x, model: near, fallback: rank}",
    "the task of the model is Rerank"
)]
#[tokio::test]
async fn a_model_that_cannot_do_what_its_rule_is_for_is_refused(
    #[case] rule: &str,
    #[case] expected: &str,
) {
    let (folder, routes) = written(&format!("routes:\n{rule}\n"));
    let mut command = crate::binary::command(folder.path());
    command.args(["gateway", "--model", "near=models/none"]);
    for (name, task) in [("embed", "Embed"), ("rank", "Rerank")] {
        command.args(["--model", &format!("{name}=http://127.0.0.1:9/v1")]);
        command.args(["--model-task", &format!("{name}={task}")]);
    }
    let output = command.args(routes).output().await.expect("runs");
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{log}");
    assert!(log.contains(expected), "{log}");
}

#[rstest]
#[case("gone=Embed", "no --model has that name")]
#[case("near=Dream", "Chat, Summarize, Embed and Rerank")]
#[tokio::test]
async fn a_task_that_cannot_be_is_refused(#[case] task: &str, #[case] expected: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = crate::binary::command(folder.path());
    let arguments = [
        "gateway",
        "--model",
        "near=models/none",
        "--model-task",
        task,
    ];
    let output = command.args(arguments).output().await.expect("runs");
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{log}");
    assert!(log.contains(expected), "{log}");
}
