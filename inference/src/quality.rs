//! What quantization costs: a model against the same model in 32-bit floats, on a text that comes with the software.
//!
//! Both read the text token by token, as answers are computed. The one's logits wait in a file for the other's, so that
//! only one of them is in memory at a time.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read as _, Seek as _, Write as _},
    num::NonZero,
};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    device::Device,
    model_dir::ModelDir,
    session::{DecoderSession, SessionError, SessionOptions},
    tokenizer::{EncodeError, Tokenizer, TokenizerLoadError},
};

/// The text, which was written for this.
pub const TEXT: &str = include_str!("quality/text.txt");

/// How near a quantized model is to its floats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Quality {
    /// The tokens that were predicted.
    pub tokens: usize,
    /// The exponential of the mean surprise at each token of the text.
    pub perplexity: f64,
    /// The same of the model in floats.
    pub reference_perplexity: f64,
    /// The mean Kullback-Leibler divergence from the floats' distribution, in nats a token.
    pub divergence: f64,
    /// How often, from 0 to 1, the likeliest token is that of the floats.
    pub agreement: f64,
}

/// Why the quality could not be measured.
#[derive(Debug, Error)]
pub enum QualityError {
    /// The tokenizer does not load.
    #[error("failed to load the model's tokenizer")]
    Tokenizer(#[from] TokenizerLoadError),
    /// The text has no tokens.
    #[error("failed to turn the text into tokens")]
    Text(#[from] EncodeError),
    /// A model does not load, or does not run.
    #[error("failed to run the model")]
    Session(#[from] SessionError),
    /// The logits do not fit onto the disk.
    #[error("failed to keep logits in a temporary file; make room where TMPDIR is")]
    Logits(#[from] io::Error),
}

/// Measures `model` against `reference`, which is the same model in floats. [`crate::runtime::init`] must have been
/// called. `progress` learns the tokens done and in all, of both models together.
pub fn measure(
    reference: &ModelDir,
    model: &ModelDir,
    threads: Option<NonZero<usize>>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Quality, QualityError> {
    let tokens = tokens_of(reference)?;
    let total = 2 * (tokens.len() as u64 - 1);
    let mut done = 0;
    let mut step = || {
        done += 1;
        progress(done, total);
    };
    let mut logits = BufWriter::new(tempfile::tempfile()?);
    each_logits(reference, &tokens, threads, &mut |_, row| {
        for value in row {
            logits.write_all(&value.to_le_bytes())?;
        }
        step();
        Ok(())
    })?;
    let mut file = logits
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    file.rewind()?;
    let mut expected = BufReader::new(file);
    let mut sums = Sums::default();
    each_logits(model, &tokens, threads, &mut |next, row| {
        sums.add(&read_row(&mut expected, row.len())?, row, next);
        step();
        Ok(())
    })?;
    Ok(sums.finish())
}

fn tokens_of(model: &ModelDir) -> Result<Vec<u32>, QualityError> {
    let tokenizer = Tokenizer::load(&model.tokenizer())?;
    let mut tokens: Vec<u32> = model.manifest().tokens.bos.into_iter().collect();
    tokens.extend(tokenizer.encode(TEXT)?);
    tokens.truncate(model.manifest().architecture.context_length);
    Ok(tokens)
}

/// Calls `use_row` with each token that comes next, and the logits that the model gives it.
fn each_logits(
    model: &ModelDir,
    tokens: &[u32],
    threads: Option<NonZero<usize>>,
    use_row: &mut dyn FnMut(u32, &[f32]) -> io::Result<()>,
) -> Result<(), QualityError> {
    let options = SessionOptions {
        device: Device::Cpu,
        threads,
        context_length: model.manifest().architecture.context_length,
    };
    let mut decoder = DecoderSession::load(model, options)?;
    decoder.start(tokens.len())?;
    for pair in tokens.windows(2) {
        use_row(pair[1], decoder.forward(&pair[..1])?)?;
    }
    Ok(())
}

fn read_row(from: &mut BufReader<File>, length: usize) -> io::Result<Vec<f32>> {
    let mut bytes = vec![0; length * 4];
    from.read_exact(&mut bytes)?;
    let value = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    Ok(bytes.chunks_exact(4).map(value).collect())
}

/// What is added up over the tokens of a text.
#[derive(Debug, Default)]
struct Sums {
    tokens: usize,
    surprise: f64,
    expected_surprise: f64,
    divergence: f64,
    same: usize,
}

impl Sums {
    fn add(&mut self, expected: &[f32], found: &[f32], next: u32) {
        let (expected_sum, found_sum) = (log_sum(expected), log_sum(found));
        let place = next as usize;
        self.tokens += 1;
        self.surprise += found_sum - f64::from(found[place]);
        self.expected_surprise += expected_sum - f64::from(expected[place]);
        let pairs = expected.iter().zip(found);
        self.divergence += pairs
            .map(|(&expected, &found)| {
                let (expected, found) = (
                    f64::from(expected) - expected_sum,
                    f64::from(found) - found_sum,
                );
                expected.exp() * (expected - found)
            })
            .sum::<f64>();
        self.same += usize::from(likeliest(expected) == likeliest(found));
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "the text has some hundred tokens"
    )]
    fn finish(self) -> Quality {
        let count = self.tokens as f64;
        Quality {
            tokens: self.tokens,
            perplexity: (self.surprise / count).exp(),
            reference_perplexity: (self.expected_surprise / count).exp(),
            divergence: self.divergence / count,
            agreement: self.same as f64 / count,
        }
    }
}

fn log_sum(logits: &[f32]) -> f64 {
    let largest = f64::from(logits.iter().copied().fold(f32::MIN, f32::max));
    let sum: f64 = logits
        .iter()
        .map(|&logit| (f64::from(logit) - largest).exp())
        .sum();
    largest + sum.ln()
}

fn likeliest(logits: &[f32]) -> Option<usize> {
    let numbered = logits.iter().enumerate();
    let best = numbered.max_by(|(_, left), (_, right)| left.total_cmp(right));
    best.map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_logits_have_no_divergence() {
        let mut sums = Sums::default();
        sums.add(&[0.0, 1.0, 2.0], &[0.0, 1.0, 2.0], 2);
        sums.add(&[1.0, 1.0], &[4.0, 4.0], 0);
        let quality = sums.finish();
        assert_eq!((quality.tokens, quality.agreement), (2, 1.0));
        assert!(quality.divergence.abs() < 1e-12);
        assert!((quality.perplexity - quality.reference_perplexity).abs() < 1e-12);
    }

    #[test]
    fn an_even_choice_of_four_has_a_perplexity_of_four() {
        let mut sums = Sums::default();
        sums.add(&[0.0; 4], &[7.0; 4], 1);
        assert!((sums.finish().perplexity - 4.0).abs() < 1e-9);
    }

    #[test]
    fn another_choice_diverges() {
        let mut sums = Sums::default();
        // All on one of two against even: ln 2.
        sums.add(&[100.0, 0.0], &[5.0, 5.0], 0);
        let quality = sums.finish();
        assert!((quality.divergence - std::f64::consts::LN_2).abs() < 1e-9);
    }
}
