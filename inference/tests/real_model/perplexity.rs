//! What quantization costs, measured on the text that comes with the software.

use claw_inference::{
    Quantization,
    quality::{Quality, measure},
};

use crate::fixture::model;

#[test]
fn int8_perplexity_is_within_two_percent_of_floats() {
    let Some(quality) = quality(Quantization::Int8) else {
        return;
    };
    let ratio = quality.perplexity / quality.reference_perplexity;
    assert!((ratio - 1.0).abs() < 0.02, "{quality:?}");
    assert!(quality.divergence < 0.01, "{quality:?}");
}

#[test]
fn int4_perplexity_is_within_a_sixth_of_floats() {
    let Some(quality) = quality(Quantization::Int4) else {
        return;
    };
    let ratio = quality.perplexity / quality.reference_perplexity;
    assert!(ratio < 1.17, "{quality:?}");
    assert!(quality.agreement > 0.75, "{quality:?}");
}

fn quality(quantization: Quantization) -> Option<Quality> {
    let (reference, model) = (model(Quantization::None)?, model(quantization)?);
    let quality = measure(&reference, &model, None, &mut |_, _| {}).expect("measured");
    println!("{quantization}: {quality:?}");
    Some(quality)
}
