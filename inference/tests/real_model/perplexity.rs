//! What quantization costs, measured on a text that was written for this test.

use claw_inference::{Quantization, Tokenizer};

use crate::fixture::{decoder, model};

const TEXT: &str = include_str!("text.txt");
const LARGEST_DIFFERENCE: f64 = 0.02;

#[test]
fn int8_perplexity_is_within_two_percent_of_floats() {
    let (Some(floats), Some(int8)) = (
        perplexity(Quantization::None),
        perplexity(Quantization::Int8),
    ) else {
        return;
    };
    println!(
        "perplexity: None {floats:.4}, Int8 {int8:.4} ({:+.2} %)",
        (int8 / floats - 1.0) * 100.0
    );
    assert!(
        (int8 / floats - 1.0).abs() < LARGEST_DIFFERENCE,
        "None {floats}, Int8 {int8}"
    );
}

/// The exponential of the mean surprise at each token, given all before it, computed as an answer is: one by one.
fn perplexity(quantization: Quantization) -> Option<f64> {
    let model = model(quantization)?;
    let tokenizer = Tokenizer::load(&model.tokenizer()).expect("a tokenizer");
    let tokens = tokenizer.encode(TEXT).expect("tokens");
    let mut decoder = decoder(&model);
    decoder.start(tokens.len()).expect("room");
    let mut surprise = 0.0;
    for pair in tokens.windows(2) {
        let logits = decoder.forward(&pair[..1]).expect("logits");
        let largest = logits.iter().copied().fold(f32::MIN, f32::max);
        let sum: f64 = logits
            .iter()
            .map(|&logit| f64::from(logit - largest).exp())
            .sum();
        surprise += sum.ln() - f64::from(logits[pair[1] as usize] - largest);
    }
    let count = f64::from(u32::try_from(tokens.len() - 1).expect("a short text"));
    Some((surprise / count).exp())
}
