//! The expected values, and requests that wait for their outcome.

use std::{env, path::PathBuf, sync::mpsc, time::Duration};

use claw_inference::{
    Cancellation, EmbedInput, EmbedRequest, EmbeddingModel, Embeddings, LoadOptions, RerankModel,
    RerankRequest, Scores, encoder::InputError, runtime,
};
use serde::Deserialize;

use crate::device::device;

const PATIENCE: Duration = Duration::from_mins(1);

/// The content of `encoders.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Reference {
    pub(crate) bert: Vec<Vectors>,
    pub(crate) xlm_roberta: Vec<Vectors>,
    pub(crate) query: String,
    pub(crate) bert_scores: Vec<Score>,
    pub(crate) xlm_roberta_scores: Vec<Score>,
    pub(crate) mini_lm: Vec<Sentence>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vectors {
    pub(crate) text: String,
    pub(crate) mean: Vec<f32>,
    pub(crate) cls: Vec<f32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Score {
    pub(crate) text: String,
    pub(crate) score: f32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sentence {
    pub(crate) text: String,
    pub(crate) tokens: usize,
    pub(crate) vector: Vec<f32>,
}

pub(crate) fn reference() -> Reference {
    serde_json::from_str(include_str!("../reference/encoders.json")).expect("a valid file")
}

/// Whether ONNX Runtime is there. Says so where it is not, and fails where it must be.
pub(crate) fn has_runtime() -> bool {
    match runtime::init(None) {
        Ok(()) => true,
        Err(reason) => {
            skip(&reason.to_string());
            false
        }
    }
}

/// The directory of the real model, where it is.
pub(crate) fn minilm() -> Option<PathBuf> {
    let directory =
        env::var_os("CLAW_TEST_MODELS").map(|models| PathBuf::from(models).join("minilm"));
    let directory = directory.filter(|path| path.join("model.safetensors").is_file());
    if directory.is_none() {
        skip("CLAW_TEST_MODELS, with minilm in it, is not set");
    }
    directory.filter(|_| has_runtime())
}

fn skip(reason: &str) {
    assert!(
        env::var("CLAW_TEST_REQUIRE_MODEL").as_deref() != Ok("1"),
        "{reason}"
    );
    eprintln!("skipped: {reason}");
}

pub(crate) fn options() -> LoadOptions {
    LoadOptions {
        device: device(),
        ..LoadOptions::default()
    }
}

pub(crate) fn texts(texts: &[&str]) -> Vec<EmbedInput> {
    let text = |text: &&str| EmbedInput::Text((*text).to_owned());
    texts.iter().map(text).collect()
}

pub(crate) fn embed(
    model: &EmbeddingModel,
    inputs: Vec<EmbedInput>,
    dimensions: Option<usize>,
) -> Result<Embeddings, InputError> {
    let (sender, outcome) = mpsc::channel();
    let request = EmbedRequest {
        inputs,
        dimensions,
        caller: "test".into(),
        cancellation: Cancellation::default(),
    };
    model.submit(request, Box::new(move |outcome| drop(sender.send(outcome))))?;
    let outcome = outcome
        .recv_timeout(PATIENCE)
        .unwrap_or_else(|_| panic!("no outcome came"));
    Ok(outcome.unwrap_or_else(|error| panic!("{error:?}")))
}

pub(crate) fn rerank(
    model: &RerankModel,
    query: &str,
    documents: &[&str],
) -> Result<Scores, InputError> {
    let (sender, outcome) = mpsc::channel();
    let request = RerankRequest {
        query: query.to_owned(),
        documents: documents.iter().map(|&text| text.to_owned()).collect(),
        caller: "test".into(),
        cancellation: Cancellation::default(),
    };
    model.submit(request, Box::new(move |outcome| drop(sender.send(outcome))))?;
    let outcome = outcome
        .recv_timeout(PATIENCE)
        .unwrap_or_else(|_| panic!("no outcome came"));
    Ok(outcome.unwrap_or_else(|error| panic!("{error:?}")))
}

/// The cosine of the angle between two vectors, in double precision.
pub(crate) fn cosine(left: &[f32], right: &[f32]) -> f64 {
    assert_eq!(left.len(), right.len(), "vectors of one length");
    let dot = |left: &[f32], right: &[f32]| -> f64 {
        let pairs = left.iter().zip(right);
        pairs.map(|(&l, &r)| f64::from(l) * f64::from(r)).sum()
    };
    dot(left, right) / (dot(left, left) * dot(right, right)).sqrt()
}
