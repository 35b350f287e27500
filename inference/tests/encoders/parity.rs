//! Tiny models with random weights: every family and head gives what transformers gives.

use claw_inference::{EmbedInput, EmbeddingModel, RerankModel};
use rstest::rstest;

use crate::{
    device::is_on_cpu,
    fixture::{cosine, embed, has_runtime, options, reference, rerank, texts},
    tiny_models::{Workspace, entries},
};

/// Beside the reference's own rounding, to a millionth.
const TOLERANCE: f32 = 2e-5;
const GPU_TOLERANCE: f32 = 2e-4;

fn assert_close(found: &[f32], expected: &[f32], what: &str) {
    let tolerance = if is_on_cpu() {
        TOLERANCE
    } else {
        GPU_TOLERANCE
    };
    let far = found
        .iter()
        .zip(expected)
        .map(|(found, expected)| (found - expected).abs())
        .fold(0.0, f32::max);
    assert!(
        found.len() == expected.len() && far < tolerance,
        "{what}: {far}"
    );
}

fn embedder(workspace: &Workspace) -> EmbeddingModel {
    let directory = workspace.import().expect("imported");
    EmbeddingModel::load(&directory, options()).expect("loads")
}

#[rstest]
#[case::bert("bert")]
#[case::xlm_roberta("xlm-roberta")]
fn vectors_are_those_of_the_reference_alone_and_together(#[case] model_type: &str) {
    if !has_runtime() {
        return;
    }
    let reference = reference();
    let cases = match model_type {
        "bert" => reference.bert,
        _ => reference.xlm_roberta,
    };
    let model = embedder(&Workspace::new(model_type, false));
    let all: Vec<&str> = cases.iter().map(|case| case.text.as_str()).collect();
    let together = embed(&model, texts(&all), None).expect("accepted");
    for (case, together) in cases.iter().zip(&together.vectors) {
        let alone = embed(&model, texts(&[&case.text]), None).expect("accepted");
        assert_close(&alone.vectors[0], &case.mean, &case.text);
        assert_close(together, &case.mean, &case.text);
    }
}

#[test]
fn the_first_token_and_the_norm_are_as_the_modules_say() {
    if !has_runtime() {
        return;
    }
    let model = embedder(&Workspace::new("bert", false).with_modules("cls_token"));
    for case in reference().bert {
        let found = embed(&model, texts(&[&case.text]), None).expect("accepted");
        let vector = &found.vectors[0];
        assert!(cosine(vector, &case.cls) > 0.999_999, "{}", case.text);
        assert!((vector.iter().map(|value| value * value).sum::<f32>() - 1.0).abs() < 1e-5);
    }
}

#[rstest]
#[case::bert("bert")]
#[case::xlm_roberta("xlm-roberta")]
fn scores_are_those_of_the_reference(#[case] model_type: &str) {
    if !has_runtime() {
        return;
    }
    let reference = reference();
    let cases = match model_type {
        "bert" => &reference.bert_scores,
        _ => &reference.xlm_roberta_scores,
    };
    let directory = Workspace::new(model_type, true);
    let directory = (directory.import().expect("imported"), directory);
    let model = RerankModel::load(&directory.0, options()).expect("loads");
    let documents: Vec<&str> = cases.iter().map(|case| case.text.as_str()).collect();
    let found = rerank(&model, &reference.query, &documents).expect("accepted");
    let expected: Vec<f32> = cases.iter().map(|case| case.score).collect();
    assert_close(&found.scores, &expected, model_type);
    for (document, expected) in documents.iter().zip(expected) {
        let alone = rerank(&model, &reference.query, &[document]).expect("accepted");
        assert_close(&alone.scores, &[expected], document);
    }
}

#[test]
fn tokens_give_what_their_text_gives() {
    if !has_runtime() {
        return;
    }
    let model = embedder(&Workspace::new("bert", false));
    let by_text = embed(&model, texts(&["ab c"]), None).expect("accepted");
    let tokens = vec![EmbedInput::Tokens(vec![4, 31, 6])];
    assert_eq!(embed(&model, tokens, None).expect("accepted"), by_text);
    assert_eq!(by_text.tokens, 5);
}

#[test]
fn shorter_vectors_are_those_that_the_model_was_trained_for() {
    if !has_runtime() {
        return;
    }
    let model = embedder(&Workspace::new("bert", false));
    let whole = embed(&model, texts(&["abc"]), Some(32)).expect("its own length");
    let short = embed(&model, texts(&["abc"]), Some(8)).expect("trained for");
    assert_eq!(short.vectors[0].len(), 8);
    assert!(cosine(&short.vectors[0], &whole.vectors[0][..8]) > 0.999_999);
    let message = embed(&model, texts(&["abc"]), Some(9))
        .expect_err("not trained for")
        .to_string();
    assert!(message.contains("32 and [8]"), "{message}");
}

#[test]
fn an_import_is_the_same_every_time_and_leaves_nothing_else() {
    let (first, second) = (Workspace::new("bert", false), Workspace::new("bert", false));
    let directories = [&first, &second].map(|workspace| workspace.import().expect("imported"));
    let files = [
        "encoder.json",
        "model.onnx",
        "model.onnx.data",
        "tokenizer.json",
    ];
    for directory in &directories {
        assert_eq!(entries(directory), files);
        let beside = directory.parent().expect("a parent");
        assert_eq!(entries(beside), ["imported", "tiny"]);
    }
    for file in files {
        let [first, second] = directories
            .each_ref()
            .map(|directory| std::fs::read(directory.join(file)).expect("readable"));
        assert!(first == second, "{file} differs");
    }
}
