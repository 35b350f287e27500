//! What was said already, and how much less likely that makes it.

use std::collections::{HashMap, HashSet};

/// How strongly repetitions are avoided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Penalties {
    /// Taken from the logit of every token of the answer.
    pub(crate) presence: f32,
    /// Taken from the logit of a token of the answer each time it came.
    pub(crate) frequency: f32,
    /// Positive logits of tokens of the prompt and of the answer are divided by it, the others multiplied; 1 changes
    /// nothing. This is the rule of <https://arxiv.org/abs/1909.05858>, as transformers and vLLM have it.
    pub(crate) repetition: f32,
}

impl Penalties {
    pub(crate) const NONE: Self = Self {
        presence: 0.0,
        frequency: 0.0,
        repetition: 1.0,
    };
}

/// The tokens that count for penalties.
#[derive(Debug)]
pub(super) struct History {
    penalties: Penalties,
    /// Only where repetitions of it count.
    prompt: HashSet<u32>,
    answer: HashMap<u32, u32>,
}

impl History {
    /// None where nothing is penalized.
    pub(super) fn new(penalties: Penalties, prompt: &[u32]) -> Option<Self> {
        if penalties == Penalties::NONE {
            return None;
        }
        let counts_prompt = penalties.repetition != Penalties::NONE.repetition;
        let prompt: &[u32] = if counts_prompt { prompt } else { &[] };
        Some(Self {
            penalties,
            prompt: prompt.iter().copied().collect(),
            answer: HashMap::new(),
        })
    }

    pub(super) fn add(&mut self, token: u32) {
        *self.answer.entry(token).or_default() += 1;
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    pub(super) fn penalize(&self, logits: &mut [f32]) {
        let Penalties {
            presence,
            frequency,
            repetition,
        } = self.penalties;
        let repeat = |logit: &mut f32| {
            *logit = if *logit > 0.0 {
                *logit / repetition
            } else {
                *logit * repetition
            };
        };
        let only_in_prompt = self
            .prompt
            .iter()
            .filter(|token| !self.answer.contains_key(token));
        for &token in only_in_prompt {
            if let Some(logit) = logits.get_mut(token as usize) {
                repeat(logit);
            }
        }
        for (&token, &count) in &self.answer {
            if let Some(logit) = logits.get_mut(token as usize) {
                repeat(logit);
                *logit -= presence + frequency * count as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn penalized(penalties: Penalties, logits: &[f32]) -> Vec<f32> {
        let mut history = History::new(penalties, &[0, 1]).expect("something is penalized");
        for token in [1, 2, 2, 9] {
            history.add(token);
        }
        let mut logits = logits.to_vec();
        history.penalize(&mut logits);
        logits
    }

    #[test]
    fn presence_counts_once_and_frequency_each_time_and_neither_the_prompt() {
        let penalties = Penalties {
            presence: 0.5,
            frequency: 0.25,
            ..Penalties::NONE
        };
        assert_eq!(
            penalized(penalties, &[1.0, 1.0, 1.0, 1.0]),
            [1.0, 0.25, 0.0, 1.0]
        );
    }

    #[test]
    fn repetition_makes_tokens_of_prompt_and_answer_less_likely_whatever_their_sign() {
        let penalties = Penalties {
            repetition: 2.0,
            ..Penalties::NONE
        };
        assert_eq!(
            penalized(penalties, &[1.0, -1.0, 3.0, 1.0]),
            [0.5, -2.0, 1.5, 1.0]
        );
    }

    #[test]
    fn without_penalties_nothing_is_counted() {
        assert!(History::new(Penalties::NONE, &[1]).is_none());
    }
}
