//! Adding to the residual, and the normalized sum.

use archmage::prelude::*;

/// Numbers that are summed side by side, whatever the processor.
const LANES: usize = 16;

/// A normalization by the root of the mean square.
pub(super) struct Norm {
    /// What each normalized number is multiplied with.
    pub(super) weights: Vec<f32>,
    /// What is added to the mean square.
    pub(super) epsilon: f32,
}

impl Norm {
    /// Adds rows to the residual's, and gives the sums, normalized. A token's numbers are summed in the same order in any
    /// company.
    pub(super) fn add(
        &self,
        processor: X64V4xToken,
        rows: &[f32],
        residual: &mut [f32],
        into: &mut [f32],
    ) {
        let width = self.weights.len();
        let tokens = rows
            .chunks_exact(width)
            .zip(residual.chunks_exact_mut(width));
        for ((row, residual), into) in tokens.zip(into.chunks_exact_mut(width)) {
            token(processor, self, row, residual, into);
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[arcane(import_intrinsics)]
#[expect(
    clippy::cast_precision_loss,
    reason = "a token has some thousand numbers"
)]
fn token(_: X64V4xToken, norm: &Norm, row: &[f32], residual: &mut [f32], into: &mut [f32]) {
    for (sum, value) in residual.iter_mut().zip(row) {
        *sum += value;
    }
    let mut squares = [0.0; LANES];
    let (whole, rest) = residual.as_chunks::<LANES>();
    for values in whole {
        for (square, value) in squares.iter_mut().zip(values) {
            *square += value * value;
        }
    }
    let rest = rest.iter().map(|value| value * value);
    let squares: f32 = squares.into_iter().chain(rest).sum();
    let mean = squares / residual.len() as f32;
    let scale = (mean + norm.epsilon).sqrt().recip();
    for ((into, value), weight) in into.iter_mut().zip(&*residual).zip(&norm.weights) {
        *into = value * scale * weight;
    }
}

/// Elsewhere nobody has the token.
#[cfg(not(target_arch = "x86_64"))]
fn token(_: X64V4xToken, _: &Norm, _: &[f32], _: &mut [f32], _: &mut [f32]) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_kept_and_normalized() {
        let Some(processor) = X64V4xToken::summon() else {
            return;
        };
        let width = 37;
        let numbers = |factor: f32| -> Vec<f32> {
            let numbers = (0..2 * 37_u8).map(|number| (f32::from(number) - 30.0) * factor);
            numbers.collect()
        };
        let (rows, before) = (numbers(0.3), numbers(-0.1));
        let norm = Norm {
            weights: numbers(0.05)[..width].to_vec(),
            epsilon: 0.5,
        };
        let (mut residual, mut into) = (before.clone(), vec![0.0; 2 * width]);
        norm.add(processor, &rows, &mut residual, &mut into);
        for token in 0..2 {
            let token = token * width..(token + 1) * width;
            let sums = rows[token.clone()].iter().zip(&before[token.clone()]);
            let sums: Vec<f64> = sums.map(|(a, b)| f64::from(*a) + f64::from(*b)).collect();
            let mean = sums.iter().map(|sum| sum * sum).sum::<f64>() / 37.0;
            let results = residual[token.clone()].iter().zip(&into[token]);
            for ((sum, weight), (residual, value)) in sums.iter().zip(&norm.weights).zip(results) {
                assert!((f64::from(*residual) - sum).abs() < 1e-5);
                let expected = sum / (mean + 0.5).sqrt() * f64::from(*weight);
                assert!((f64::from(*value) - expected).abs() < 1e-5);
            }
        }
    }
}
