//! The real MiniLM, against transformers.

use std::sync::Mutex;

use claw_inference::{EmbeddingModel, encoder::EncoderDir, import::import_encoder};

use crate::fixture::{cosine, embed, minilm, options, reference, texts};

/// How alike vectors must be.
const LEAST: f64 = 0.999_99;

fn model() -> Option<(EmbeddingModel, tempfile::TempDir)> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let source = minilm()?;
    let _turn = ONE_AT_A_TIME.lock().expect("no import panicked");
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("imported");
    import_encoder(&source, &target, &mut |_| {}).expect("imported");
    let directory = EncoderDir::open(&target).expect("whole");
    assert_eq!(directory.description().hidden_size, 384);
    let model = EmbeddingModel::load(&target, options()).expect("loads");
    Some((model, folder))
}

#[test]
fn sentences_have_the_vectors_of_the_reference() {
    let Some((model, _folder)) = model() else {
        return;
    };
    let sentences = reference().mini_lm;
    let all: Vec<&str> = sentences.iter().map(|case| case.text.as_str()).collect();
    let together = embed(&model, texts(&all), None).expect("accepted");
    let tokens: usize = sentences.iter().map(|case| case.tokens).sum();
    assert_eq!(together.tokens, tokens);
    for (case, together) in sentences.iter().zip(&together.vectors) {
        let alone = embed(&model, texts(&[&case.text]), None).expect("accepted");
        for found in [&alone.vectors[0], together] {
            let cosine = cosine(found, &case.vector);
            assert!(cosine >= LEAST, "{}: {cosine}", case.text);
        }
    }
}

#[test]
fn what_means_the_same_is_closest() {
    let Some((model, _folder)) = model() else {
        return;
    };
    let sentences = [
        "How can I get a new password?",
        "To change a forgotten password, open the settings.",
        "The river is brown after a storm.",
    ];
    let found = embed(&model, texts(&sentences), None)
        .expect("accepted")
        .vectors;
    assert!(cosine(&found[0], &found[1]) > cosine(&found[0], &found[2]) + 0.3);
}
