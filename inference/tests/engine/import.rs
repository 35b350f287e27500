//! What an import writes.

use std::fs;

use claw_inference::{
    ModelDir, Quantization,
    import::{ImportError, ImportProgress, ImportStep, import_model},
};
use sha2::{Digest as _, Sha256};

use crate::tiny_llama::{CONTEXT, EOS, Workspace, imported, tiny_llama};

#[test]
fn a_model_directory_describes_its_source() {
    let (workspace, model) = imported(Quantization::Int8);
    let manifest = model.manifest();
    let sha256 = Sha256::digest(fs::read(workspace.source()).expect("a file"));
    let described: Vec<u8> = (0..64)
        .step_by(2)
        .map(|index| {
            u8::from_str_radix(&manifest.source.sha256[index..index + 2], 16).expect("hexadecimal")
        })
        .collect();
    assert_eq!(described, *sha256);
    assert_eq!(manifest.name, "tiny");
    assert_eq!(manifest.quantization, Quantization::Int8);
    assert_eq!(manifest.architecture.context_length, CONTEXT as usize);
    assert_eq!(
        (manifest.tokens.bos, manifest.tokens.eos.as_slice()),
        (Some(256), &[EOS][..])
    );
    model.verify().expect("every digest is right");
    assert_eq!(workspace.leftovers(), ["model"]);
}

#[test]
fn the_same_source_gives_the_same_files() {
    let (_first_workspace, first) = imported(Quantization::None);
    let (_second_workspace, second) = imported(Quantization::None);
    assert_eq!(first.manifest(), second.manifest());
}

#[test]
fn int8_is_smaller_than_floats() {
    let size = |quantization| imported(quantization).1.manifest().files["model.onnx.data"].bytes;
    assert!(size(Quantization::Int8) < size(Quantization::None) / 2);
}

#[test]
fn progress_ends_where_it_says() {
    let workspace = Workspace::new(&tiny_llama().to_bytes());
    let mut seen: Vec<ImportProgress> = Vec::new();
    import_model(
        &workspace.source(),
        &workspace.target(),
        Quantization::None,
        &mut |progress| seen.push(progress),
    )
    .expect("imported");
    for step in [ImportStep::Hashing, ImportStep::Converting] {
        let last = seen
            .iter()
            .rfind(|progress| progress.step == step)
            .expect("reported");
        assert_eq!(last.done, last.total, "{step:?}");
    }
    assert!(
        seen.is_sorted_by_key(|progress| (progress.step == ImportStep::Converting, progress.done))
    );
}

#[test]
fn an_existing_model_is_not_overwritten() {
    let (workspace, model) = imported(Quantization::None);
    let before = model.manifest().clone();
    let error = import_model(
        &workspace.source(),
        &workspace.target(),
        Quantization::Int8,
        &mut |_| {},
    )
    .expect_err("the target is in use");
    assert!(matches!(error, ImportError::TargetExists { .. }), "{error}");
    assert!(error.to_string().contains("remove it, or choose another"));
    assert_eq!(
        *ModelDir::open(&workspace.target())
            .expect("still there")
            .manifest(),
        before
    );
}

#[test]
fn a_missing_source_is_named() {
    let workspace = Workspace::new(b"");
    let error = import_model(
        &workspace.source().with_extension("no"),
        &workspace.target(),
        Quantization::None,
        &mut |_| {},
    )
    .expect_err("no such file");
    assert!(error.to_string().contains("model.no"), "{error}");
}
