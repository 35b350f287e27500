//! Exported graphs compute what they did before, through the form that the engine runs.
//!
//! Those that run need `ORT_DYLIB_PATH`; without it they pass, unless `CLAW_TEST_REQUIRE_MODEL` is 1.

mod exported;

use std::{error::Error as _, fs, path::Path};

use serde::Deserialize;
use tempfile::TempDir;

use self::exported::{Attention, Exported};
use crate::{
    DecoderSession, Device, ModelDir, Quantization, SessionOptions,
    decoder::{Decoder as _, Step},
    import::import_model,
    session::{Graph, runtime::tests::has_runtime},
};

const TOLERANCE: f32 = 1e-4;

/// The part of `families.json` that is about the llama.
#[derive(Deserialize)]
struct Reference {
    prompt: usize,
    tokens: Vec<u32>,
    stride: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    config: serde_json::Value,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    place: usize,
    logits: Vec<f32>,
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("../../../tests/reference/families.json")).expect("valid")
}

fn export(exported: &Exported) -> TempDir {
    let folder = tempfile::tempdir().expect("a directory");
    let source = folder.path().join("source");
    fs::create_dir_all(source.join("onnx")).expect("created");
    let config = reference().cases[0].config.to_string();
    fs::write(source.join("config.json"), config).expect("written");
    let vocabulary: serde_json::Map<String, serde_json::Value> = (0..260)
        .map(|id| (format!("token{id}"), id.into()))
        .collect();
    let tokenizer = serde_json::json!({"version": "1.0", "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "token0"}});
    fs::write(source.join("tokenizer.json"), tokenizer.to_string()).expect("written");
    exported.write(&source.join("onnx"));
    folder
}

fn import(folder: &Path) -> Result<ModelDir, String> {
    import_as(folder, Quantization::None)
}

fn import_as(folder: &Path, quantization: Quantization) -> Result<ModelDir, String> {
    let (source, target) = (folder.join("source"), folder.join("model"));
    let imported = import_model(&source, &target, quantization, &mut |_| {});
    imported.map_err(|error| {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(current) = cause {
            message = format!("{message}: {current}");
            cause = current.source();
        }
        message
    })
}

fn options(model: &ModelDir) -> SessionOptions {
    SessionOptions {
        device: Device::Cpu,
        threads: None,
        context_length: model.manifest().architecture.context_length,
    }
}

fn largest_difference(left: &[f32], right: &[f32]) -> f32 {
    assert_eq!(left.len(), right.len());
    let pairs = left.iter().zip(right);
    pairs
        .map(|(left, right)| (left - right).abs())
        .fold(0.0, f32::max)
}

fn check(exported: &Exported) {
    let folder = export(exported);
    let model = import(folder.path()).expect("imported");
    model.verify().expect("every digest is right");
    assert!(model.manifest().files.contains_key("model.onnx_data"));
    if !has_runtime() {
        return;
    }
    let Reference {
        prompt,
        tokens,
        stride,
        cases,
    } = reference();
    let mut decoder = DecoderSession::load(&model, options(&model)).expect("the model loads");
    decoder.start(tokens.len()).expect("room");
    let compare = |place: usize, logits: &[f32]| {
        let chosen: Vec<f32> = logits.iter().step_by(stride).copied().collect();
        if let Some(row) = cases[0].rows.iter().find(|row| row.place == place) {
            let error = largest_difference(&chosen, &row.logits);
            assert!(error < TOLERANCE, "{exported:?} {place}: {error}");
        }
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
    rows_are_independent(&model, &tokens);
}

/// A row gives the same logits in a batch with a longer one as alone, and several at once the same as one by one.
fn rows_are_independent(model: &ModelDir, tokens: &[u32]) {
    let mut graph = Graph::load(model, options(model)).expect("the model loads");
    let mut start = |length: usize| {
        let mut cache = graph.allocate(1, 64).expect("memory");
        let step = Step {
            row: 0,
            token: tokens[length],
            past: length,
        };
        graph
            .extend(&mut cache, 0, &tokens[..length], 1)
            .expect("logits");
        let mut other = graph.allocate(1, 64).expect("memory");
        let copied = graph.copy((&cache, 0), (&mut other, 0), length);
        copied.expect("copied");
        let alone = graph.step(&mut other, &[step]).expect("logits").to_vec();
        (cache, step, alone)
    };
    let (long, long_step, long_alone) = start(13);
    let (short, short_step, short_alone) = start(5);
    let mut both = graph.allocate(2, 64).expect("memory");
    for (row, (source, length)) in [(&long, 13), (&short, 5)].into_iter().enumerate() {
        let copied = graph.copy((source, 0), (&mut both, row), length);
        copied.expect("copied");
    }
    let together = graph
        .step(
            &mut both,
            &[
                long_step,
                Step {
                    row: 1,
                    ..short_step
                },
            ],
        )
        .expect("logits");
    let error = largest_difference(together, &[long_alone.clone(), short_alone].concat());
    assert!(error < TOLERANCE, "{error}");

    let mut cache = graph.allocate(1, 64).expect("memory");
    graph
        .extend(&mut cache, 0, &tokens[..10], 1)
        .expect("logits");
    let several = graph
        .extend(&mut cache, 10, &tokens[10..14], 4)
        .expect("logits");
    let last = &several[several.len() - long_alone.len()..];
    let error = largest_difference(last, &long_alone);
    assert!(error < TOLERANCE, "{error}");
}

#[test]
fn a_graph_of_plain_operators_is_served() {
    check(&Exported::default());
}

#[test]
fn a_graph_with_grouped_attention_is_served() {
    check(&Exported {
        attention: Attention::Grouped,
        ..Exported::default()
    });
}

#[test]
fn a_graph_whose_logits_come_from_no_plain_product_is_served() {
    check(&Exported {
        scales_logits: true,
        ..Exported::default()
    });
}

#[test]
fn other_graphs_are_refused_by_what_they_lack() {
    for (exported, expected) in [
        (
            Exported {
                extra_input: Some("use_cache_branch"),
                ..Exported::default()
            },
            "this is a merged decoder of an older Optimum",
        ),
        (
            Exported {
                layers: 1,
                ..Exported::default()
            },
            "number of layers is 1, where the 2 of config.json is expected",
        ),
        (
            Exported {
                operators: 11,
                ..Exported::default()
            },
            "version 11 of the ONNX operators",
        ),
        (
            Exported {
                has_cache: false,
                ..Exported::default()
            },
            "the graph has no inputs past_key_values.0.key and .value",
        ),
    ] {
        let folder = export(&exported);
        let message = import(folder.path()).expect_err("refused");
        assert!(message.contains(expected), "{message}");
        assert!(!folder.path().join("model").exists());
    }
}

#[test]
fn a_graph_is_not_quantized() {
    let folder = export(&Exported::default());
    let message = import_as(folder.path(), Quantization::Int8).expect_err("refused");
    assert!(message.contains("set the quantization None"), "{message}");
}

#[test]
fn damage_is_named() {
    let folder = export(&Exported::default());
    let onnx = folder.path().join("source").join("onnx");
    let data = fs::read(onnx.join("model.onnx_data")).expect("a file");
    fs::write(onnx.join("model.onnx_data"), &data[..data.len() / 2]).expect("written");
    let message = import(folder.path()).expect_err("refused");
    assert!(
        message.contains("model.onnx_data is truncated: the tensor"),
        "{message}"
    );
    fs::remove_file(onnx.join("model.onnx_data")).expect("removed");
    let message = import(folder.path()).expect_err("refused");
    assert!(message.contains("model.onnx_data"), "{message}");
    let graph = fs::read(onnx.join("model.onnx")).expect("a file");
    for length in (0..graph.len()).step_by(701) {
        fs::write(onnx.join("model.onnx"), &graph[..length]).expect("written");
        let message = import(folder.path()).expect_err("refused");
        assert!(message.contains("onnx"), "{length}: {message}");
    }
}
