//! What is refused, and how it is told.

use std::fs;

use claw_inference::{
    EmbedInput, EmbeddingModel, RerankModel,
    encoder::InputError,
    import::{EncoderImportError, encoder_source_files},
};
use rstest::rstest;
use serde_json::json;

use crate::{
    fixture::{embed, has_runtime, options, rerank, texts},
    tiny_models::{POSITIONS, Workspace, entries, safetensors},
};

fn told(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        told = format!("{told}: {error}");
        cause = error.source();
    }
    told
}

#[rstest]
#[case(json!({"model_type": "deberta"}), "model_type is deberta")]
#[case(json!({"hidden_act": "swish"}), "hidden_act is swish")]
#[case(json!({"hidden_size": 64}), "[56, 32]")]
#[case(json!({"num_hidden_layers": 3}), "encoder.layer.2.attention.self.query.weight is missing")]
#[case(json!({"num_hidden_layers": 1}), "encoder.layer.1")]
fn what_the_import_cannot_do_is_named(#[case] changes: serde_json::Value, #[case] expected: &str) {
    let workspace = Workspace::new("bert", false);
    let text = fs::read_to_string(workspace.source().join("config.json")).expect("readable");
    let mut config: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for (field, value) in changes.as_object().expect("an object") {
        config[field] = value.clone();
    }
    workspace.write("config.json", &config);
    let error = workspace.import().expect_err("refused");
    let message = told(&error);
    assert!(message.contains(expected), "{message}");
    let beside = workspace.source();
    assert_eq!(entries(beside.parent().expect("a parent")), ["tiny"]);
}

#[test]
fn damaged_weights_and_an_occupied_target_are_told() {
    let workspace = Workspace::new("bert", false);
    workspace.import().expect("imported");
    let error = workspace.import().expect_err("occupied");
    assert!(
        matches!(error, EncoderImportError::TargetExists { .. }),
        "{error}"
    );
    let other = Workspace::new("bert", false);
    let path = other.source().join("model.safetensors");
    let bytes = fs::read(&path).expect("readable");
    fs::write(&path, &bytes[..bytes.len() - 100]).expect("written");
    let message = told(&other.import().expect_err("cut off"));
    assert!(message.contains("the file is damaged"), "{message}");
    fs::write(&path, safetensors(&[("x".to_owned(), vec![1])])).expect("written");
    let message = told(&other.import().expect_err("of another model"));
    assert!(message.contains("is missing"), "{message}");
}

#[test]
fn only_what_has_to_be_imported_is_offered_for_it() {
    let workspace = Workspace::new("bert", false).with_modules("mean_tokens");
    let files = encoder_source_files(&workspace.source()).expect("weights");
    assert_eq!(files.len(), 5);
    let imported = workspace.import().expect("imported");
    assert_eq!(encoder_source_files(&imported), None);
}

#[test]
fn a_model_of_another_task_says_what_it_is_for() {
    if !has_runtime() {
        return;
    }
    let (embedder, reranker) = (Workspace::new("bert", false), Workspace::new("bert", true));
    let error = RerankModel::load(&embedder.import().expect("imported"), options());
    let message = told(&error.expect_err("an embedder"));
    assert!(message.contains("gives vectors"), "{message}");
    let error = EmbeddingModel::load(&reranker.import().expect("imported"), options());
    let message = told(&error.expect_err("a reranker"));
    assert!(message.contains("scores documents"), "{message}");
}

#[test]
fn inputs_that_cannot_be_are_named() {
    if !has_runtime() {
        return;
    }
    let workspace = Workspace::new("bert", false);
    let model =
        EmbeddingModel::load(&workspace.import().expect("imported"), options()).expect("loads");
    let long = "a".repeat(POSITIONS);
    let cases = [
        (vec![], "input is empty"),
        (texts(&["a", ""]), "input[1] is empty"),
        (
            texts(&["a", &long]),
            "input[1] has 42 tokens, and the model takes 40",
        ),
        (vec![EmbedInput::Tokens(vec![])], "input[0] has no tokens"),
        (
            vec![EmbedInput::Tokens(vec![56])],
            "input[0] has the token 56",
        ),
        (texts(&vec!["a"; 2049]), "input has 2049 texts"),
    ];
    for (inputs, expected) in cases {
        let message = embed(&model, inputs, None)
            .expect_err("refused")
            .to_string();
        assert!(message.contains(expected), "{message}");
    }
    model.close();
    let error = embed(&model, texts(&["a"]), None).expect_err("closed");
    assert!(matches!(error, InputError::Closed), "{error}");
}

#[test]
fn a_long_document_is_cut_and_a_long_query_is_not() {
    if !has_runtime() {
        return;
    }
    let workspace = Workspace::new("bert", true);
    let model =
        RerankModel::load(&workspace.import().expect("imported"), options()).expect("loads");
    let long = "a".repeat(99);
    let cut = rerank(&model, "ab", &[&long]).expect("accepted");
    assert_eq!(cut.tokens, POSITIONS);
    let fits = "a".repeat(POSITIONS - 5);
    assert_eq!(rerank(&model, "ab", &[&fits]).expect("accepted"), cut);
    let message = rerank(&model, &"a".repeat(POSITIONS), &["a"])
        .expect_err("no room")
        .to_string();
    assert!(message.contains("query has 43 tokens"), "{message}");
}
