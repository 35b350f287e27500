//! The tokens that a draw is between, after what is unlikely was left out.

use std::cmp::Ordering;

/// How many candidates are sorted at first; most distributions need no more for any `top_p`.
const FIRST_CANDIDATES: usize = 64;

/// Tokens in proportion to their probability. Kept between tokens of an answer, so that none of them allocates.
#[derive(Debug, Default)]
pub(super) struct Candidates(Vec<Candidate>);

#[derive(Debug, Clone, Copy)]
struct Candidate {
    token: u32,
    /// In proportion to the probability; the most likely has 1.
    weight: f32,
}

impl Candidates {
    /// The tokens of at least this weight, and of more than none.
    pub(super) fn collect(&mut self, weights: &[f32], least: f32) {
        self.0.clear();
        let all = weights.iter().zip(0_u32..);
        let some = all.filter(|(weight, _)| **weight > 0.0 && **weight >= least);
        self.0.extend(some.map(|(weight, token)| Candidate {
            token,
            weight: *weight,
        }));
    }

    pub(super) fn keep_most_likely(&mut self, count: usize) {
        if count < self.0.len() {
            self.0.select_nth_unstable_by(count - 1, descending);
            self.0.truncate(count);
        }
    }

    /// Keeps the fewest of the most likely candidates that reach the weight.
    pub(super) fn keep_nucleus(&mut self, wanted: f32) {
        let mut sorted = FIRST_CANDIDATES;
        loop {
            let all = sorted >= self.0.len();
            if !all {
                self.0.select_nth_unstable_by(sorted - 1, descending);
            }
            let head = sorted.min(self.0.len());
            self.0[..head].sort_unstable_by(descending);
            let mut sum = 0.0;
            let reached = self.0[..head].iter().position(|candidate| {
                sum += candidate.weight;
                sum >= wanted
            });
            match reached {
                Some(last) => return self.0.truncate(last + 1),
                None if all => return,
                None => sorted *= 4,
            }
        }
    }

    /// The candidate at a place from 0 to 1 of all their probability.
    pub(super) fn at(&self, place: f32) -> Option<u32> {
        let mut left = place * self.total();
        for candidate in &self.0 {
            left -= candidate.weight;
            if left < 0.0 {
                return Some(candidate.token);
            }
        }
        self.0.last().map(|candidate| candidate.token)
    }

    pub(super) fn total(&self) -> f32 {
        self.0.iter().map(|candidate| candidate.weight).sum()
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{Sampler, Sampling},
        *,
    };

    fn collected(logits: &[f32]) -> Candidates {
        let mut candidates = Candidates::default();
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weights: Vec<f32> = logits.iter().map(|logit| (logit - largest).exp()).collect();
        candidates.collect(&weights, 0.0);
        candidates
    }

    fn tokens(candidates: &Candidates) -> Vec<u32> {
        let mut tokens: Vec<u32> = candidates.0.iter().map(|one| one.token).collect();
        tokens.sort_unstable();
        tokens
    }

    /// Tokens by falling probability, and the probabilities.
    fn by_probability(logits: &[f32]) -> Vec<(u32, f64)> {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut all: Vec<(u32, f64)> = (0..)
            .zip(logits)
            .map(|(token, logit)| (token, f64::from((logit - largest).exp())))
            .collect();
        let total: f64 = all.iter().map(|(_, weight)| weight).sum();
        for (_, weight) in &mut all {
            *weight /= total;
        }
        all.sort_by(|left, right| right.1.total_cmp(&left.1).then(left.0.cmp(&right.0)));
        all
    }

    fn sorted(tokens: impl Iterator<Item = u32>) -> Vec<u32> {
        let mut tokens: Vec<u32> = tokens.collect();
        tokens.sort_unstable();
        tokens
    }

    proptest! {
        #[test]
        fn each_rule_keeps_what_sorting_everything_would_keep(
            logits in proptest::collection::vec((-400_i16..400).prop_map(|cents| f32::from(cents) / 100.0), 1..300),
            count in 1_usize..40,
            share in 0.01_f32..1.0,
        ) {
            let all = by_probability(&logits);
            let mut some = collected(&logits);
            some.keep_most_likely(count);
            prop_assert_eq!(tokens(&some), sorted(all.iter().take(count).map(|(token, _)| *token)));

            let mut some = collected(&logits);
            some.keep_nucleus(share * some.total());
            let mut sum = 0.0;
            for (token, probability) in &all {
                let is_needed = sum < f64::from(share);
                if (sum - f64::from(share)).abs() > 1e-4 {
                    prop_assert_eq!(tokens(&some).contains(token), is_needed);
                }
                sum += probability;
            }
        }
    }

    proptest! {
        #[test]
        fn a_sampler_draws_from_the_whole_nucleus(
            logits in proptest::collection::vec((-2000_i16..400).prop_map(|cents| f32::from(cents) / 100.0), 1..300),
            top_p in 0.01_f32..1.0,
            temperature in 0.2_f32..2.0,
        ) {
            let sampling = Sampling { temperature, top_p, ..Sampling::default() };
            let mut sampler = Sampler::new(sampling, &[], None);
            sampler.choose(&logits).expect("a number");
            // Without leaving out what is too unlikely before.
            let mut all = Candidates::default();
            all.collect(sampler.weights.values(), 0.0);
            all.keep_nucleus(sampler.weights.total() * top_p);
            prop_assert_eq!(tokens(&sampler.candidates), tokens(&all));
        }
    }

    #[test]
    fn a_place_is_a_tokens_in_proportion_to_its_probability() {
        let candidates = collected(&[0.0, 3_f32.ln()]);
        assert_eq!(candidates.at(0.0), Some(0));
        assert_eq!(candidates.at(0.24), Some(0));
        assert_eq!(candidates.at(0.26), Some(1));
        assert_eq!(candidates.at(1.0), Some(1));
        assert_eq!(Candidates::default().at(0.5), None);
    }
}
