//! Embedders and rerankers in this process, played by the fake engine.

use claw_crds::gateway_config::{
    LoadConfig, LocalModelConfig, ModelBackend, ModelConfig, QuantizationConfig, SourceConfig,
    TaskConfig,
};
use rstest::rstest;
use serde_json::{Value, json};

use super::{Gateway, chat, doing};

async fn start() -> Gateway {
    Gateway::start_with(true, |config, folder| {
        for (name, task) in [
            ("vectors", TaskConfig::Embed),
            ("ranks", TaskConfig::Rerank),
        ] {
            config.models.push(ModelConfig {
                name: name.into(),
                task,
                backend: ModelBackend::Local(LocalModelConfig {
                    source: SourceConfig::Path(folder.join("near").display().to_string()),
                    quantization: QuantizationConfig::None,
                    context_length: None,
                    load: LoadConfig::Eager,
                }),
            });
        }
        config.routes.extend([
            doing("^/embed$", TaskConfig::Embed, &["vectors"]),
            doing("^/rank$", TaskConfig::Rerank, &["ranks"]),
        ]);
    })
    .await
}

#[rstest]
#[case::the_api("/v1/embeddings")]
#[case::a_route("/embed")]
#[tokio::test]
async fn texts_become_vectors_with_their_usage(#[case] path: &str) {
    let gateway = start().await;
    let body = json!({"model": "vectors", "input": ["abc", "two words"]});
    let (status, answer) = gateway.ask(path, &body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        answer,
        json!({
            "object": "list", "model": "vectors",
            "data": [
                {"object": "embedding", "index": 0, "embedding": [3.0, 1.0]},
                {"object": "embedding", "index": 1, "embedding": [9.0, 1.0]},
            ],
            "usage": {"prompt_tokens": 3, "total_tokens": 3},
        })
    );
}

#[tokio::test]
async fn vectors_come_as_bytes_where_they_are_asked_for() {
    let gateway = start().await;
    let body = json!({"model": "vectors", "input": [1, 2], "encoding_format": "base64"});
    let (_, answer) = gateway.ask("/v1/embeddings", &body).await;
    // 6.0 and 1.0, lowest byte first.
    assert_eq!(answer["data"][0]["embedding"], "AADAQAAAgD8=", "{answer}");
}

#[rstest]
#[case::the_api("/v1/rerank")]
#[case::a_route("/rank")]
#[tokio::test]
async fn documents_are_ranked(#[case] path: &str) {
    let gateway = start().await;
    let body = json!({
        "model": "ranks", "query": "q", "documents": ["ab", {"text": "a longer one"}, "abc"], "top_n": 2,
        "return_documents": true,
    });
    let (status, answer) = gateway.ask(path, &body).await;
    assert_eq!(
        (status, &answer),
        (
            200,
            &json!({
                "model": "ranks",
                "results": [
                    {"index": 1, "relevance_score": 0.12, "document": {"text": "a longer one"}},
                    {"index": 2, "relevance_score": 0.03, "document": {"text": "abc"}},
                ],
                "usage": {"prompt_tokens": 5, "total_tokens": 5},
            })
        )
    );
}

#[rstest]
#[case::a_chat("/v1/chat/completions", chat("vectors", "hi"), 400, "model")]
#[case::a_text("/v1/completions", json!({"model": "ranks", "prompt": "a"}), 400, "model")]
#[case::a_ranking("/v1/rerank", json!({"model": "vectors", "query": "a", "documents": ["b"]}), 400, "model")]
#[case::vectors("/v1/embeddings", json!({"model": "ranks", "input": "a"}), 400, "model")]
#[case::too_long("/v1/embeddings", json!({"model": "vectors", "input": ["a", "long"]}), 400, "input[1]")]
#[case::dimensions("/v1/embeddings", json!({"model": "vectors", "input": "a", "dimensions": "x"}), 400, "dimensions")]
#[case::unknown("/v1/rerank", json!({"model": "ranks", "query": "a", "documents": ["b"], "max_chunks_per_doc": 1}), 400, "max_chunks_per_doc")]
#[case::full("/v1/embeddings", json!({"model": "vectors", "input": "full"}), 429, "")]
#[case::broken("/v1/rerank", json!({"model": "ranks", "query": "a", "documents": ["fail"]}), 500, "")]
#[tokio::test]
async fn what_cannot_be_answered_is_told(
    #[case] path: &str,
    #[case] body: Value,
    #[case] expected: u16,
    #[case] field: &str,
) {
    let gateway = start().await;
    let (status, error) = gateway.ask(path, &body).await;
    let param = error["error"]["param"].as_str().unwrap_or_default();
    assert_eq!((status, param), (expected, field), "{error}");
}
