//! What each token of the vocabulary weighs in a draw, with the processor's widest registers: at a temperature above 0 all
//! of them take part in every token of an answer.

#![expect(
    clippy::inline_always,
    reason = "only what is inlined is compiled for the processor's registers"
)]

use pulp::{Arch, Simd, WithSimd};

use crate::exponential::exponential;

/// Weights that are summed side by side, whatever the processor.
const LANES: usize = 16;
/// Weights that have a sum of their own.
const BLOCK: usize = 512;
/// Below, e^x is no normal number, and a weight is 0.
const LEAST: f32 = -87.0;

/// Weights in proportion to the probabilities; the most likely token has 1. Kept between tokens of an answer, so that none
/// of them allocates.
#[derive(Debug, Default)]
pub(super) struct Weights {
    values: Vec<f32>,
    /// Of each [`BLOCK`].
    sums: Vec<f32>,
}

impl Weights {
    /// Of all tokens; `largest` is the largest of the logits. Who is no number weighs nothing.
    pub(super) fn fill(&mut self, logits: &[f32], largest: f32, temperature: f32) {
        self.values.resize(logits.len(), 0.0);
        self.sums.resize(logits.len().div_ceil(BLOCK), 0.0);
        Arch::new().dispatch(Fill {
            weights: self,
            logits,
            largest,
            temperature,
        });
    }

    pub(super) fn values(&self) -> &[f32] {
        &self.values
    }

    pub(super) fn total(&self) -> f32 {
        self.sums.iter().sum()
    }

    /// What each of the most likely tokens weighs at least that together have the probability: all tokens below their share of
    /// what it leaves out weigh less than that together.
    pub(super) fn least_of_nucleus(&self, top_p: f32) -> f32 {
        let tokens = self.values.len().max(1);
        #[expect(clippy::cast_precision_loss, reason = "half of it is wanted, roughly")]
        let share = self.total() * (1.0 - top_p) / tokens as f32;
        share / 2.0
    }

    /// The token at a place from 0 to 1 of all weight.
    pub(super) fn at(&self, place: f32) -> Option<u32> {
        let mut left = place * self.total();
        let last = self.sums.iter().rposition(|sum| *sum > 0.0)?;
        let mut found = last;
        for (block, sum) in self.sums[..last].iter().enumerate() {
            if left < *sum {
                found = block;
                break;
            }
            left -= sum;
        }
        let start = found * BLOCK;
        let weights = self.values[start..].iter().take(BLOCK);
        let mut weights = weights.enumerate().filter(|(_, weight)| **weight > 0.0);
        // Sums in another order may differ in their last bit: then it is the last one that weighs anything.
        let mut chosen = None;
        for (index, weight) in &mut weights {
            chosen = Some(start + index);
            left -= weight;
            if left < 0.0 {
                break;
            }
        }
        u32::try_from(chosen?).ok()
    }
}

struct Fill<'a> {
    weights: &'a mut Weights,
    logits: &'a [f32],
    largest: f32,
    temperature: f32,
}

impl WithSimd for Fill<'_> {
    type Output = ();

    #[inline(always)]
    #[expect(clippy::float_cmp, reason = "the largest is one of them, unchanged")]
    fn with_simd<S: Simd>(self, _: S) {
        let Self {
            weights,
            logits,
            largest,
            temperature,
        } = self;
        let blocks = weights.values.chunks_mut(BLOCK).zip(logits.chunks(BLOCK));
        for ((weights, logits), sum) in blocks.zip(&mut weights.sums) {
            for (weight, logit) in weights.iter_mut().zip(logits) {
                let power = (*logit - largest) / temperature;
                let weight_of_it = if power >= LEAST {
                    exponential(power)
                } else {
                    0.0
                };
                // Infinite ones have no difference.
                *weight = if *logit == largest { 1.0 } else { weight_of_it };
            }
            let (whole, rest) = weights.as_chunks::<LANES>();
            let mut sums = [0.0; LANES];
            for weights in whole {
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum += *weight;
                }
            }
            for (sum, weight) in sums.iter_mut().zip(rest) {
                *sum += *weight;
            }
            *sum = sums.iter().sum();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(logits: &[f32], temperature: f32) -> Weights {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut weights = Weights::default();
        weights.fill(logits, largest, temperature);
        weights
    }

    #[test]
    fn they_are_powers_of_what_a_logit_is_below_the_largest() {
        let logits: Vec<f32> = (0..2000_i16)
            .map(|index| f32::from(index % 97) * 0.3)
            .collect();
        for temperature in [0.1, 1.0, 2.0] {
            let weights = weights(&logits, temperature);
            let mut total = 0.0;
            for (weight, logit) in weights.values().iter().zip(&logits) {
                let power =
                    (f64::from(*logit) - f64::from(96.0 * 0.3_f32)) / f64::from(temperature);
                let exact = if power < f64::from(LEAST) {
                    0.0
                } else {
                    power.exp()
                };
                // A difference of logits has an error that temperatures below 1 make larger.
                assert!(
                    (f64::from(*weight) - exact).abs() <= 1e-5 * exact,
                    "{weight} is {exact}"
                );
                total += exact;
            }
            assert!((f64::from(weights.total()) / total - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn what_is_no_number_or_excluded_weighs_nothing_and_is_never_drawn() {
        let logits = [
            f32::NEG_INFINITY,
            f32::NAN,
            1.0,
            f32::NEG_INFINITY,
            1.0,
            f32::NAN,
            -200.0,
        ];
        let weights = weights(&logits, 1.0);
        assert_eq!(weights.values(), [0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0]);
        let drawn = [0.0, 0.25, 0.49, 0.51, 0.75, 1.0].map(|place| weights.at(place));
        assert_eq!(drawn, [2, 2, 2, 4, 4, 4].map(Some));
    }

    #[test]
    fn an_infinite_one_takes_all() {
        let weights = weights(&[1.0, f32::INFINITY, 3.0], 1.0);
        assert_eq!(weights.values(), [0.0, 1.0, 0.0]);
        assert_eq!(weights.at(0.99), Some(1));
        assert_eq!(Weights::default().at(0.5), None);
    }

    #[test]
    fn a_place_is_a_tokens_in_proportion_to_its_weight() {
        // Several blocks: each token weighs 1 of 1,300.
        let weights = weights(&[2.0; 1300], 1.0);
        for (place, token) in [(0.0, 0), (0.5, 650), (0.999_9, 1299), (1.0, 1299)] {
            assert_eq!(weights.at(place), Some(token));
        }
        let mut seen = 0;
        for step in 0..1300_u16 {
            let place = (f32::from(step) + 0.5) / 1300.0;
            seen += usize::from(weights.at(place) == Some(step.into()));
        }
        assert_eq!(seen, 1300);
    }
}
