//! Every family computes what the transformers library does, from every format it comes in.

use std::fs;

use claw_inference::{
    DecoderSession, ModelDir, Quantization, SessionOptions, import::import_model,
};
use rstest::rstest;
use serde::Deserialize;
use tempfile::TempDir;

use crate::device::{device, is_on_cpu};
use crate::{family_model::FamilyModel, tiny_llama::has_runtime};

const TOLERANCE: f32 = 1e-4;
/// Of the kind of 16 bits that rounds more.
const HALF_TOLERANCE: f32 = 0.1;
/// Weights of random numbers are the worst that there is to quantize.
const INT8_TOLERANCE: f32 = 0.25;
const INT4_TOLERANCE: f32 = 1.5;

/// The content of `families.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reference {
    pub(crate) prompt: usize,
    pub(crate) tokens: Vec<u32>,
    pub(crate) stride: usize,
    pub(crate) cases: Vec<Case>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) config: serde_json::Value,
    pub(crate) rows: Vec<Row>,
}

/// The logits after the token at a place.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    pub(crate) place: usize,
    pub(crate) logsumexp: f32,
    pub(crate) logits: Vec<f32>,
}

pub(crate) fn reference() -> Reference {
    serde_json::from_str(include_str!("../reference/families.json")).expect("a valid file")
}

pub(crate) fn case(name: &str) -> Case {
    let mut cases = reference().cases.into_iter();
    cases
        .find(|case| case.name == name)
        .expect("a case of this name")
}

#[rstest]
#[case("llama")]
#[case("llama-with-biases")]
#[case("mistral")]
#[case("qwen2")]
#[case("qwen3")]
#[case("gemma")]
#[case("gemma2")]
#[case("gemma3")]
fn safetensors_compute_what_transformers_does(#[case] name: &str) {
    let case = case(name);
    let folder = TempDir::new().expect("a directory");
    let source = folder.path().join("source");
    FamilyModel::new(case.config.clone()).write_directory(&source);
    check(&folder, &case, Quantization::None, TOLERANCE);
}

#[rstest]
#[case("llama")]
#[case("llama-with-biases")]
#[case("qwen2")]
#[case("qwen3")]
#[case("gemma")]
#[case("gemma2")]
#[case("gemma3")]
fn gguf_computes_what_transformers_does(#[case] name: &str) {
    let case = case(name);
    let folder = TempDir::new().expect("a directory");
    let file = FamilyModel::new(case.config.clone())
        .to_gguf()
        .expect("a family of GGUF");
    fs::write(folder.path().join("source"), file.to_bytes()).expect("written");
    check(&folder, &case, Quantization::None, TOLERANCE);
}

#[rstest]
#[case("llama", Quantization::Int8, INT8_TOLERANCE)]
#[case("gemma3", Quantization::Int8, INT8_TOLERANCE)]
#[case("llama", Quantization::Int4, INT4_TOLERANCE)]
#[case("qwen2", Quantization::Int4, INT4_TOLERANCE)]
#[case("gemma2", Quantization::Int4, INT4_TOLERANCE)]
fn quantized_weights_come_near(
    #[case] name: &str,
    #[case] quantization: Quantization,
    #[case] tolerance: f32,
) {
    let case = case(name);
    let folder = TempDir::new().expect("a directory");
    FamilyModel::new(case.config.clone()).write_shards(&folder.path().join("source"));
    check(&folder, &case, quantization, tolerance);
}

#[test]
fn shards_and_a_single_file_give_the_same_graph() {
    let case = case("qwen3");
    let model = FamilyModel::new(case.config);
    let folder = TempDir::new().expect("a directory");
    model.write_directory(&folder.path().join("one"));
    model.write_shards(&folder.path().join("two"));
    let imported = ["one", "two"].map(|name| {
        let (source, target) = (
            folder.path().join(name),
            folder.path().join(format!("{name}-out")),
        );
        import_model(&source, &target, Quantization::Int8, &mut |_| {}).expect("imported")
    });
    assert_eq!(imported[0].manifest().files, imported[1].manifest().files);
    assert_ne!(imported[0].manifest().source, imported[1].manifest().source);
}

/// Imports `source` of the folder and compares every row.
fn check(folder: &TempDir, case: &Case, quantization: Quantization, tolerance: f32) {
    let (source, target) = (folder.path().join("source"), folder.path().join("model"));
    let model = import_model(&source, &target, quantization, &mut |_| {}).expect("imported");
    model.verify().expect("every digest is right");
    if !has_runtime() {
        return;
    }
    let error = largest_error(&model, case);
    let tolerance = if is_on_cpu() {
        tolerance
    } else {
        tolerance.max(HALF_TOLERANCE)
    };
    assert!(error < tolerance, "{} {quantization}: {error}", case.name);
}

/// How far the imported model's logits are from the reference.
pub(crate) fn largest_error(model: &ModelDir, case: &Case) -> f32 {
    let Reference {
        prompt,
        tokens,
        stride,
        ..
    } = reference();
    let options = SessionOptions {
        device: device(),
        threads: None,
        context_length: model.manifest().architecture.context_length,
    };
    let mut decoder = DecoderSession::load(model, options).expect("the model loads");
    decoder.start(tokens.len()).expect("room");
    let mut largest: f32 = 0.0;
    let mut compare = |place: usize, logits: &[f32]| {
        let Some(row) = case.rows.iter().find(|row| row.place == place) else {
            return;
        };
        let chosen = logits.iter().step_by(stride);
        for (found, expected) in chosen.zip(&row.logits) {
            largest = largest.max((found - expected).abs());
        }
        largest = largest.max((logsumexp(logits) - row.logsumexp).abs());
    };
    compare(
        prompt - 1,
        decoder.forward(&tokens[..prompt]).expect("logits"),
    );
    for place in prompt..tokens.len() {
        compare(
            place,
            decoder.forward(&tokens[place..=place]).expect("logits"),
        );
    }
    largest
}

fn logsumexp(logits: &[f32]) -> f32 {
    let largest = logits.iter().copied().fold(f32::MIN, f32::max);
    let sum: f32 = logits.iter().map(|logit| (logit - largest).exp()).sum();
    largest + sum.ln()
}
