//! Guesses what comes next where an answer repeats its prompt or itself, so that one run computes several tokens.
//!
//! Nothing is taken from a guess: each token is chosen from its own logits, and the first that differs ends the guess.
//! What a guess costs is bounded by what earlier ones have gained, so that text without repetitions loses next to nothing.

use std::collections::HashMap;

/// Tokens that must have been there before in this order.
const GRAM: usize = 3;
/// The most tokens of a guess.
pub(crate) const LONGEST: usize = 16;
/// What a guessed token costs in a run, where the run of a single token costs 1: an estimate, on the safe side of what
/// `bench_engine` shows.
const COST: f32 = 0.25;
/// What may be lost at the beginning, in runs of one token.
const FIRST_CREDIT: f32 = 1.0;
/// What may be lost for each token that was not guessed, in runs of one token.
const ALLOWANCE: f32 = 0.02;
/// So much of what was gained may be lost again.
const MOST_CREDIT: f32 = 8.0;
/// What one guess says of the next.
const MEMORY: f32 = 0.9;

/// Guesses for one answer.
#[derive(Debug)]
pub(crate) struct Drafter {
    /// Where each sequence was seen last: the index of the token after it.
    places: HashMap<[u32; GRAM], usize>,
    /// Tokens that are in `places` as what follows.
    known: usize,
    /// What may be lost, in runs of one token.
    credit: f32,
    /// Guessed tokens that came, and guesses that ended early; older ones count less.
    came: f32,
    ended: f32,
}

impl Default for Drafter {
    fn default() -> Self {
        Self {
            places: HashMap::new(),
            known: GRAM,
            credit: FIRST_CREDIT,
            came: 4.0,
            ended: 1.0,
        }
    }
}

impl Drafter {
    /// Adds what may follow `tokens` to `guess`: at most `most` of them, none where nothing is known or where guessing does
    /// not pay. Returns how many.
    pub(crate) fn draft(&mut self, tokens: &[u32], most: usize, guess: &mut Vec<u32>) -> usize {
        self.learn(tokens);
        let place = tokens
            .last_chunk::<GRAM>()
            .and_then(|end| self.places.get(end));
        let Some(&place) = place else {
            return 0;
        };
        let (length, before) = (self.length().min(most), guess.len());
        for index in place..place + length {
            // Beyond the end it goes on with what was guessed: a text that repeats itself at once.
            let token = match tokens.get(index) {
                Some(&token) => token,
                None => guess[before + index - tokens.len()],
            };
            guess.push(token);
        }
        length
    }

    /// A token was computed without a guess.
    pub(crate) fn went_without(&mut self) {
        self.credit = (self.credit + ALLOWANCE).min(MOST_CREDIT);
    }

    /// Of so many guessed tokens the first `came` did come.
    pub(crate) fn judge(&mut self, guessed: usize, came: usize) {
        let (guessed_count, came_count) = (to_float(guessed), to_float(came));
        let gain = came_count - COST * guessed_count;
        self.credit = (self.credit + gain).clamp(0.0, MOST_CREDIT);
        self.came = self.came * MEMORY + came_count;
        self.ended = self.ended * MEMORY + if came < guessed { 1.0 } else { 0.0 };
    }

    /// The length of a guess that gains most, as far as it may be lost.
    fn length(&self) -> usize {
        let chance = self.came / (self.came + self.ended);
        // A guess of n tokens gives 1 + p + p² + … + pⁿ tokens for the price of 1 + cost × n.
        let (mut best, mut best_pace) = (0, 1.0);
        let (mut tokens, mut power) = (1.0, 1.0);
        for length in 1..=LONGEST {
            if COST * to_float(length) > self.credit {
                break;
            }
            power *= chance;
            tokens += power;
            let pace = tokens / (1.0 + COST * to_float(length));
            if pace >= best_pace || best == 0 {
                (best, best_pace) = (length, pace);
            }
        }
        best
    }

    fn learn(&mut self, tokens: &[u32]) {
        // The last sequence has nothing after it yet.
        for next in self.known..tokens.len() {
            if let Some(&before) = tokens[..next].last_chunk::<GRAM>() {
                self.places.insert(before, next);
            }
        }
        self.known = self.known.max(tokens.len());
    }
}

#[expect(clippy::cast_precision_loss, reason = "a few tokens")]
fn to_float(count: usize) -> f32 {
    count as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: [u32; 9] = [1, 2, 3, 4, 5, 6, 1, 2, 3];

    fn draft(tokens: &[u32], most: usize) -> Vec<u32> {
        let mut guess = Vec::new();
        let length = Drafter::default().draft(tokens, most, &mut guess);
        assert_eq!(length, guess.len());
        guess
    }

    #[test]
    fn what_followed_before_is_guessed() {
        assert_eq!(draft(&TEXT, 3), [4, 5, 6]);
        assert_eq!(draft(&TEXT, 1), [4]);
    }

    #[test]
    fn the_latest_place_counts() {
        let text = [1, 2, 3, 4, 1, 2, 3, 7, 8, 1, 2, 3];
        assert_eq!(draft(&text, 2), [7, 8]);
    }

    #[test]
    fn a_text_that_repeats_itself_at_once_goes_on_so() {
        assert_eq!(draft(&[1, 2, 1, 2, 1], 3), [2, 1, 2]);
        assert_eq!(draft(&[7, 7, 7, 7], 3), [7, 7, 7]);
    }

    #[test]
    fn tokens_that_come_later_are_learnt() {
        let mut drafter = Drafter::default();
        let mut guess = Vec::new();
        assert_eq!(drafter.draft(&TEXT[..7], 3, &mut guess), 0);
        assert_eq!(drafter.draft(&TEXT, 3, &mut guess), 3);
        assert_eq!(guess, [4, 5, 6]);
    }

    #[test]
    fn text_without_repetitions_and_short_text_are_not_guessed() {
        assert!(draft(&[1, 2, 3, 4], 3).is_empty());
        assert!(draft(&[1, 2], 3).is_empty());
        assert!(draft(&[], 3).is_empty());
    }

    #[test]
    fn guesses_that_come_make_longer_ones() {
        let mut drafter = Drafter::default();
        let first = drafter.length();
        for _ in 0..4 {
            let length = drafter.length();
            drafter.judge(length, length);
        }
        assert!(drafter.length() > first);
        assert!(drafter.length() <= LONGEST);
    }

    #[test]
    fn wrong_guesses_cost_a_fiftieth_of_the_tokens_and_no_more() {
        let mut drafter = Drafter::default();
        let (mut lost, mut plain) = (0.0, 0);
        for _ in 0..1000 {
            match drafter.length() {
                0 => {
                    drafter.went_without();
                    plain += 1;
                }
                length => {
                    drafter.judge(length, 0);
                    lost += COST * to_float(length);
                }
            }
        }
        assert!(plain > 900, "{plain}");
        assert!(lost <= FIRST_CREDIT + ALLOWANCE * 1000.0, "{lost}");
    }
}
