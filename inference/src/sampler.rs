//! Chooses the next token from logits: greedy at temperature 0, otherwise by chance, reproducibly from a seed.
//!
//! The order of the rules is vLLM's: biases and penalties change logits, the grammar excludes tokens, the temperature
//! flattens what is left, `min_p`, `top_k` and `top_p` leave out what is unlikely, and one number of the random sequence
//! decides. Values that are no number are never chosen.

mod candidates;
mod history;
mod log_probabilities;
mod most_likely;
mod weights;

use rand::{RngExt as _, SeedableRng as _, rngs::ChaCha12Rng};

use crate::{event::GenerationError, grammar::Grammar};
use candidates::Candidates;
use history::History;
pub(crate) use history::Penalties;
pub(crate) use log_probabilities::LogProbabilities;
use log_probabilities::log_probabilities;
pub use most_likely::most_likely;
use weights::Weights;

/// How to choose.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sampling {
    /// 0 is greedy; 1 is the model's own distribution.
    pub(crate) temperature: f32,
    /// Only the most likely tokens that together have this probability.
    pub(crate) top_p: f32,
    /// Only this many of the most likely tokens; 0 is all.
    pub(crate) top_k: usize,
    /// Only tokens at least this likely, as a share of the most likely one; 0 is all.
    pub(crate) min_p: f32,
    pub(crate) penalties: Penalties,
    /// What is added to the logits of tokens.
    pub(crate) biases: Vec<(u32, f32)>,
    /// How many of the most likely tokens are told with each token; none tells nothing.
    pub(crate) log_probabilities: Option<usize>,
    /// The start of the random sequence.
    pub(crate) seed: u64,
}

impl Default for Sampling {
    /// The model's own distribution.
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            penalties: Penalties::NONE,
            biases: Vec::new(),
            log_probabilities: None,
            seed: 0,
        }
    }
}

/// A token of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chosen {
    pub(crate) token: u32,
    /// Where they are wanted.
    pub(crate) log_probabilities: Option<LogProbabilities>,
}

/// Chooses the tokens of one answer, one after the other, and remembers them.
#[derive(Debug)]
pub(crate) struct Sampler {
    sampling: Sampling,
    /// Named, since its sequence stays the same with every version of the library.
    random: ChaCha12Rng,
    weights: Weights,
    candidates: Candidates,
    history: Option<History>,
    grammar: Option<Grammar>,
    /// Logits after what changes them; kept between tokens, so that none of them allocates.
    changed: Vec<f32>,
}

impl Sampler {
    /// For the answer to a prompt. A grammar is one that has seen nothing yet.
    pub(crate) fn new(sampling: Sampling, prompt: &[u32], grammar: Option<Grammar>) -> Self {
        Self {
            random: ChaCha12Rng::seed_from_u64(sampling.seed),
            weights: Weights::default(),
            candidates: Candidates::default(),
            history: History::new(sampling.penalties, prompt),
            grammar,
            changed: Vec::new(),
            sampling,
        }
    }

    /// The answer's next token, which counts as said from now on. Each token takes one number of the random sequence, and
    /// greedy ones take none.
    ///
    /// Fails where no token can be chosen, or where the grammar has become too large to go on with.
    pub(crate) fn choose(&mut self, logits: &[f32]) -> Result<Chosen, GenerationError> {
        let is_plain =
            self.history.is_none() && self.grammar.is_none() && self.sampling.biases.is_empty();
        let token = if is_plain {
            self.pick(logits)
        } else {
            let mut changed = std::mem::take(&mut self.changed);
            changed.clear();
            changed.extend_from_slice(logits);
            self.change(&mut changed)?;
            let token = self.pick(&changed);
            let is_excluded = |token: &u32| changed[*token as usize] == f32::NEG_INFINITY;
            let token = token.filter(|token| self.grammar.is_none() || !is_excluded(token));
            self.changed = changed;
            token
        };
        let token = token.ok_or(GenerationError::NoToken)?;
        if let Some(history) = &mut self.history {
            history.add(token);
        }
        if let Some(grammar) = &mut self.grammar {
            grammar.commit(token)?;
        }
        let most = self.sampling.log_probabilities;
        Ok(Chosen {
            token,
            log_probabilities: most.map(|most| log_probabilities(logits, token, most)),
        })
    }

    fn change(&mut self, logits: &mut [f32]) -> Result<(), GenerationError> {
        for &(token, bias) in &self.sampling.biases {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit += bias;
            }
        }
        if let Some(history) = &self.history {
            history.penalize(logits);
        }
        if let Some(grammar) = &mut self.grammar {
            grammar.restrict(logits)?;
        }
        Ok(())
    }

    /// A token by the rules of chance; none where no logit is a number.
    fn pick(&mut self, logits: &[f32]) -> Option<u32> {
        let best = most_likely(logits)?;
        let Sampling {
            temperature,
            top_p,
            top_k,
            min_p,
            ..
        } = self.sampling;
        if temperature <= 0.0 || top_k == 1 {
            return Some(best);
        }
        let largest = logits[usize::try_from(best).expect("an index")];
        self.weights.fill(logits, largest, temperature);
        let place = self.random.random::<f32>();
        // Whether nothing is left out before the nucleus is looked for.
        let is_whole = min_p <= 0.0 && top_k == 0;
        if is_whole && top_p >= 1.0 {
            return Some(self.weights.at(place).unwrap_or(best));
        }
        let least = if is_whole {
            self.weights.least_of_nucleus(top_p)
        } else {
            min_p
        };
        self.candidates.collect(self.weights.values(), least);
        if top_k > 0 {
            self.candidates.keep_most_likely(top_k);
        }
        if top_p < 1.0 {
            let total = if is_whole {
                self.weights.total()
            } else {
                self.candidates.total()
            };
            self.candidates.keep_nucleus(total * top_p);
        }
        Some(self.candidates.at(place).unwrap_or(best))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn plain() -> Sampling {
        Sampling {
            seed: 7,
            ..Sampling::default()
        }
    }

    fn draws(sampling: Sampling, logits: &[f32], count: usize) -> Vec<u32> {
        let mut sampler = Sampler::new(sampling, &[], None);
        (0..count)
            .map(|_| sampler.choose(logits).expect("a number").token)
            .collect()
    }

    #[test]
    fn temperature_zero_takes_the_first_of_the_largest() {
        assert_eq!(
            draws(
                Sampling {
                    temperature: 0.0,
                    ..plain()
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
        assert_eq!(draws(plain(), &logits, 50), draws(plain(), &logits, 50));
        assert_ne!(
            draws(plain(), &logits, 50),
            draws(Sampling { seed: 8, ..plain() }, &logits, 50)
        );
    }

    #[test]
    fn tokens_come_as_often_as_the_distribution_says() {
        let logits = [0.0, 3_f32.ln()];
        let drawn = draws(plain(), &logits, 4000);
        let share = drawn.iter().filter(|&&token| token == 1).count();
        assert!(
            (2880..3120).contains(&share),
            "{share} of 4000, where 3000 are expected"
        );
    }

    #[test]
    fn top_k_leaves_only_the_most_likely() {
        let drawn = draws(
            Sampling {
                top_k: 2,
                ..plain()
            },
            &[0.0, 1.0, 0.9, 0.8],
            200,
        );
        assert!(drawn.contains(&1) && drawn.contains(&2));
        assert!(!drawn.contains(&0) && !drawn.contains(&3));
    }

    #[test]
    fn top_p_leaves_the_fewest_tokens_that_reach_it() {
        let logits = [0.5_f32.ln(), 0.3_f32.ln(), 0.2_f32.ln()];
        let drawn = draws(
            Sampling {
                top_p: 0.7,
                ..plain()
            },
            &logits,
            200,
        );
        assert!(drawn.contains(&0) && drawn.contains(&1) && !drawn.contains(&2));
        assert_eq!(
            draws(
                Sampling {
                    top_p: 0.0,
                    ..plain()
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
                ..plain()
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

    #[test]
    fn min_p_leaves_what_is_nearly_as_likely_as_the_most_likely() {
        let logits = [0.5_f32.ln(), 0.3_f32.ln(), 0.2_f32.ln()];
        let drawn = draws(
            Sampling {
                min_p: 0.5,
                ..plain()
            },
            &logits,
            200,
        );
        assert!(drawn.contains(&0) && drawn.contains(&1) && !drawn.contains(&2));
    }

    #[test]
    fn biases_forbid_and_force_tokens() {
        let logits = [1.0, 2.0, 3.0];
        for temperature in [0.0, 1.0] {
            let sampling = Sampling {
                temperature,
                biases: vec![(2, -100.0), (0, 100.0), (77, 5.0)],
                ..plain()
            };
            assert_eq!(draws(sampling, &logits, 20), [0; 20]);
        }
    }

    #[test]
    fn penalties_make_greedy_answers_change() {
        let sampling = Sampling {
            temperature: 0.0,
            penalties: Penalties {
                frequency: 0.6,
                ..Penalties::NONE
            },
            ..plain()
        };
        assert_eq!(draws(sampling, &[1.0, 0.5, 0.0], 4), [0, 1, 0, 2]);
    }

    #[test]
    fn log_probabilities_are_the_models_own_whatever_was_changed() {
        let sampling = Sampling {
            biases: vec![(0, 100.0)],
            log_probabilities: Some(1),
            ..plain()
        };
        let chosen = Sampler::new(sampling, &[], None)
            .choose(&[0.25_f32.ln(), 0.75_f32.ln()])
            .expect("a number");
        let told = chosen.log_probabilities.expect("wanted");
        assert_eq!((chosen.token, told.top[0].0), (0, 1));
        assert!((told.chosen - 0.25_f32.ln()).abs() < 1e-5, "{told:?}");
    }

    #[test]
    fn each_token_takes_one_number_whatever_is_asked() {
        // Who draws a token among several takes as many numbers as who has but one to take.
        let free = [0.0; 8];
        let mut forced = [-1000.0; 8];
        forced[3] = 1000.0;
        let mut one = Sampler::new(plain(), &[], None);
        let mut other = Sampler::new(plain(), &[], None);
        for _ in 0..3 {
            one.choose(&free).expect("a token");
            assert_eq!(other.choose(&forced).expect("a token").token, 3);
        }
        assert_eq!(one.random, other.random);
    }

    #[rstest]
    #[case::nothing(&[])]
    #[case::no_numbers(&[f32::NAN, f32::NAN])]
    fn logits_without_a_number_choose_nothing(#[case] logits: &[f32]) {
        for temperature in [0.0, 1.0] {
            let sampling = Sampling {
                temperature,
                ..plain()
            };
            let chosen = Sampler::new(sampling, &[], None).choose(logits);
            assert!(
                matches!(chosen, Err(GenerationError::NoToken)),
                "{chosen:?}"
            );
        }
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
                    ..plain()
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
            min_p in 0_f32..=1.0,
            seed in any::<u64>(),
        ) {
            let sampling = Sampling { temperature, top_p, top_k, min_p, seed, ..Sampling::default() };
            match Sampler::new(sampling, &[], None).choose(&logits) {
                Ok(chosen) => prop_assert!(!logits[chosen.token as usize].is_nan()),
                Err(_) => prop_assert!(logits.iter().all(|logit| logit.is_nan())),
            }
        }
    }
}
