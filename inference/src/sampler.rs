//! Chooses the next token from logits: greedy at temperature 0, otherwise by chance, reproducibly from a seed.
//!
//! Values that are no number are never chosen.

use std::cmp::Ordering;

use rand::{RngExt as _, SeedableRng as _, rngs::ChaCha12Rng};

/// How many candidates are sorted at first; most distributions need no more for any `top_p`.
const FIRST_CANDIDATES: usize = 64;

/// How to choose.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sampling {
    /// 0 is greedy; 1 is the model's own distribution.
    pub(crate) temperature: f32,
    /// Only the most likely tokens that together have this probability.
    pub(crate) top_p: f32,
    /// Only this many of the most likely tokens; 0 is all.
    pub(crate) top_k: usize,
    /// The start of the random sequence.
    pub(crate) seed: u64,
}

/// Chooses tokens for one generation.
#[derive(Debug)]
pub(crate) struct Sampler {
    sampling: Sampling,
    /// Named, since its sequence stays the same with every version of the library.
    random: ChaCha12Rng,
    /// Kept between tokens, so that none of them allocates.
    candidates: Vec<Candidate>,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    token: u32,
    /// First the logit, then the weight in proportion to the probability.
    weight: f32,
}

impl Sampler {
    pub(crate) fn new(sampling: Sampling) -> Self {
        Self {
            sampling,
            random: ChaCha12Rng::seed_from_u64(sampling.seed),
            candidates: Vec::new(),
        }
    }

    /// The next token, unless no logit is a number.
    pub(crate) fn choose(&mut self, logits: &[f32]) -> Option<u32> {
        let best = most_likely(logits)?;
        let Sampling {
            temperature,
            top_p,
            top_k,
            ..
        } = self.sampling;
        if temperature <= 0.0 || top_k == 1 {
            return Some(best);
        }
        let largest = logits[usize::try_from(best).expect("an index")];
        self.collect(logits, largest, temperature);
        if top_k > 0 {
            self.keep_most_likely(top_k);
        }
        if top_p < 1.0 {
            self.keep_nucleus(top_p);
        }
        Some(self.draw().unwrap_or(best))
    }

    /// Every token with its weight; the most likely has the weight 1.
    #[expect(clippy::float_cmp, reason = "the largest is one of them, unchanged")]
    fn collect(&mut self, logits: &[f32], largest: f32, temperature: f32) {
        self.candidates.clear();
        let all = logits
            .iter()
            .zip(0_u32..)
            .filter(|(logit, _)| !logit.is_nan());
        self.candidates.extend(all.map(|(logit, token)| {
            // Infinite logits would subtract to no number.
            let weight = if *logit == largest {
                1.0
            } else {
                ((logit - largest) / temperature).exp()
            };
            Candidate { token, weight }
        }));
        self.candidates.retain(|candidate| candidate.weight > 0.0);
    }

    fn keep_most_likely(&mut self, count: usize) {
        if count < self.candidates.len() {
            self.candidates
                .select_nth_unstable_by(count - 1, descending);
            self.candidates.truncate(count);
        }
    }

    /// Keeps the fewest of the most likely candidates that reach the probability.
    fn keep_nucleus(&mut self, top_p: f32) {
        let total: f32 = self
            .candidates
            .iter()
            .map(|candidate| candidate.weight)
            .sum();
        let wanted = total * top_p;
        let mut sorted = FIRST_CANDIDATES;
        loop {
            let all = sorted >= self.candidates.len();
            if !all {
                self.candidates
                    .select_nth_unstable_by(sorted - 1, descending);
            }
            let head = sorted.min(self.candidates.len());
            self.candidates[..head].sort_unstable_by(descending);
            let mut sum = 0.0;
            let reached = self.candidates[..head].iter().position(|candidate| {
                sum += candidate.weight;
                sum >= wanted
            });
            match reached {
                Some(last) => return self.candidates.truncate(last + 1),
                None if all => return,
                None => sorted *= 4,
            }
        }
    }

    fn draw(&mut self) -> Option<u32> {
        let total: f32 = self
            .candidates
            .iter()
            .map(|candidate| candidate.weight)
            .sum();
        let mut left = self.random.random::<f32>() * total;
        for candidate in &self.candidates {
            left -= candidate.weight;
            if left < 0.0 {
                return Some(candidate.token);
            }
        }
        self.candidates.last().map(|candidate| candidate.token)
    }
}

/// Larger weights first, and smaller tokens among equals, so that the order never depends on the sorting.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that sorting wants"
)]
fn descending(left: &Candidate, right: &Candidate) -> Ordering {
    right
        .weight
        .total_cmp(&left.weight)
        .then(left.token.cmp(&right.token))
}

/// The token with the largest logit, the first of equals; none where no logit is a number.
#[expect(clippy::float_cmp, reason = "the largest is one of them, unchanged")]
pub fn most_likely(logits: &[f32]) -> Option<u32> {
    // Independent maxima let the compiler use wide registers: this pass sees the whole vocabulary for every token.
    const LANES: usize = 16;
    let mut largest = [f32::NEG_INFINITY; LANES];
    let chunks = logits.chunks_exact(LANES);
    for (lane, &logit) in largest.iter_mut().zip(chunks.remainder()) {
        *lane = lane.max(logit);
    }
    for chunk in chunks {
        for (lane, &logit) in largest.iter_mut().zip(chunk) {
            // `max` ignores what is no number.
            *lane = lane.max(logit);
        }
    }
    let largest = largest.into_iter().fold(f32::NEG_INFINITY, f32::max);
    let index = logits.iter().position(|&logit| logit == largest)?;
    u32::try_from(index).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const PLAIN: Sampling = Sampling {
        temperature: 1.0,
        top_p: 1.0,
        top_k: 0,
        seed: 7,
    };

    fn draws(sampling: Sampling, logits: &[f32], count: usize) -> Vec<u32> {
        let mut sampler = Sampler::new(sampling);
        (0..count)
            .map(|_| sampler.choose(logits).expect("a number"))
            .collect()
    }

    #[test]
    fn temperature_zero_takes_the_first_of_the_largest() {
        assert_eq!(
            draws(
                Sampling {
                    temperature: 0.0,
                    ..PLAIN
                },
                &[1.0, 3.0, 3.0, 2.0],
                3
            ),
            [1, 1, 1]
        );
    }

    #[test]
    fn the_same_seed_gives_the_same_tokens_and_another_seed_others() {
        let logits: Vec<f32> = (0_u8..100).map(|token| f32::from(token % 7)).collect();
        assert_eq!(draws(PLAIN, &logits, 50), draws(PLAIN, &logits, 50));
        assert_ne!(
            draws(PLAIN, &logits, 50),
            draws(Sampling { seed: 8, ..PLAIN }, &logits, 50)
        );
    }

    #[test]
    fn tokens_come_as_often_as_the_distribution_says() {
        let logits = [0.0, 3_f32.ln()];
        let drawn = draws(PLAIN, &logits, 4000);
        let share = drawn.iter().filter(|&&token| token == 1).count();
        assert!(
            (2880..3120).contains(&share),
            "{share} of 4000, where 3000 are expected"
        );
    }

    #[test]
    fn top_k_leaves_only_the_most_likely() {
        let drawn = draws(Sampling { top_k: 2, ..PLAIN }, &[0.0, 1.0, 0.9, 0.8], 200);
        assert!(drawn.contains(&1) && drawn.contains(&2));
        assert!(!drawn.contains(&0) && !drawn.contains(&3));
    }

    #[test]
    fn top_p_leaves_the_fewest_tokens_that_reach_it() {
        let logits = [0.5_f32.ln(), 0.3_f32.ln(), 0.2_f32.ln()];
        let drawn = draws(
            Sampling {
                top_p: 0.7,
                ..PLAIN
            },
            &logits,
            200,
        );
        assert!(drawn.contains(&0) && drawn.contains(&1) && !drawn.contains(&2));
        assert_eq!(
            draws(
                Sampling {
                    top_p: 0.0,
                    ..PLAIN
                },
                &logits,
                20
            ),
            [0; 20]
        );
    }

    #[test]
    fn top_p_is_right_when_it_needs_more_candidates_than_are_sorted_at_first() {
        let logits = vec![0.0; 1000];
        let drawn = draws(
            Sampling {
                top_p: 0.5,
                ..PLAIN
            },
            &logits,
            2000,
        );
        assert!(
            drawn.iter().all(|&token| token < 501),
            "equals are taken in the order of their tokens"
        );
        assert!(drawn.iter().any(|&token| token > 400));
    }

    #[rstest]
    #[case::nothing(&[])]
    #[case::no_numbers(&[f32::NAN, f32::NAN])]
    fn logits_without_a_number_choose_nothing(#[case] logits: &[f32]) {
        assert_eq!(Sampler::new(PLAIN).choose(logits), None);
        assert_eq!(
            Sampler::new(Sampling {
                temperature: 0.0,
                ..PLAIN
            })
            .choose(logits),
            None
        );
    }

    #[rstest]
    #[case::infinite(&[1.0, f32::INFINITY, f32::NAN], 1)]
    #[case::all_but_one_excluded(&[f32::NEG_INFINITY, 1.0, f32::NEG_INFINITY], 1)]
    #[case::only_infinite(&[f32::NEG_INFINITY], 0)]
    fn infinite_logits_are_no_trouble(#[case] logits: &[f32], #[case] expected: u32) {
        assert_eq!(
            draws(
                Sampling {
                    top_p: 0.9,
                    ..PLAIN
                },
                logits,
                20
            ),
            [expected; 20]
        );
    }

    #[test]
    fn the_largest_is_found_wherever_it_is() {
        for index in 0..50 {
            let mut logits = vec![f32::NAN; 50];
            logits[index as usize] = -3.0;
            assert_eq!(most_likely(&logits), Some(index));
        }
    }

    proptest! {
        #[test]
        fn what_is_no_number_is_never_chosen(
            logits in proptest::collection::vec(prop_oneof![Just(f32::NAN), -50_f32..50.0], 1..200),
            temperature in 0_f32..3.0,
            top_p in 0_f32..=1.0,
            top_k in 0_usize..50,
            seed in any::<u64>(),
        ) {
            let chosen = Sampler::new(Sampling { temperature, top_p, top_k, seed }).choose(&logits);
            match chosen {
                Some(token) => prop_assert!(!logits[token as usize].is_nan()),
                None => prop_assert!(logits.iter().all(|logit| logit.is_nan())),
            }
        }
    }
}
