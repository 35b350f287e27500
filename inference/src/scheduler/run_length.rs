//! How many tokens a run has in which a piece of a prompt comes beside the next tokens of answers.
//!
//! What such a run takes is the time between two tokens of an answer. So it is as long as fits into a given time, by
//! what runs have taken lately on this machine, with this model and at this load.

use std::time::Duration;

/// Tokens of a run before anything is known.
const FIRST: usize = 16;
/// Tokens of the prompt in a run at least, so that it comes to an end among many answers.
const SHORTEST_PIECE: usize = 4;
/// What the last run weighs in what is known of them: a single slow one changes little, and another load is known
/// after a tenth of a second.
const WEIGHT: f64 = 0.125;

#[derive(Debug)]
pub(super) struct RunLength {
    target: Duration,
    /// Tokens of a run at most.
    longest: usize,
    seconds_per_token: Option<f64>,
}

impl RunLength {
    /// Of runs that take about `target`, and of at most so many tokens.
    pub(super) fn new(target: Duration, longest: usize) -> Self {
        Self {
            target,
            longest,
            seconds_per_token: None,
        }
    }

    /// Tokens of a prompt beside the next ones of so many answers.
    pub(super) fn piece(&self, answers: usize) -> usize {
        let tokens = match self.seconds_per_token {
            None => FIRST,
            Some(each) => whole(self.target.as_secs_f64() / each).min(self.longest),
        };
        tokens.saturating_sub(answers).max(SHORTEST_PIECE)
    }

    /// A run of so many tokens took so long.
    pub(super) fn took(&mut self, tokens: usize, time: Duration) {
        let Ok(tokens) = u32::try_from(tokens) else {
            return;
        };
        let each = time.as_secs_f64() / f64::from(tokens.max(1));
        let known = self.seconds_per_token.get_or_insert(each);
        *known += WEIGHT * (each - *known);
    }
}

/// A division by zero asks for a very long run.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and 65,536"
)]
fn whole(tokens: f64) -> usize {
    tokens.clamp(0.0, 65_536.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_millis(15);
    const LONGEST: usize = 64;

    /// What remains after many runs of a machine that takes so many microseconds for a run, and for each of its tokens.
    fn settled(run: u64, token: u64, answers: usize) -> usize {
        let mut length = RunLength::new(TARGET, LONGEST);
        for _ in 0..100 {
            let tokens = length.piece(answers) + answers;
            let time = run + token * u64::try_from(tokens).expect("few");
            length.took(tokens, Duration::from_micros(time));
        }
        length.piece(answers)
    }

    #[test]
    fn a_run_is_as_long_as_fits_into_its_time() {
        // 3 + 22 * 0.5 ms are 14, with 23 they are more.
        assert!((22..=24).contains(&(settled(3000, 500, 2) + 2)));
        assert_eq!(settled(100, 10, 2) + 2, LONGEST);
        assert_eq!(settled(40_000, 4000, 2), SHORTEST_PIECE);
    }

    #[test]
    fn a_prompt_goes_on_among_many_answers() {
        let length = RunLength::new(TARGET, LONGEST);
        assert_eq!((length.piece(2), length.piece(30)), (14, SHORTEST_PIECE));
    }

    #[test]
    fn one_slow_run_changes_little() {
        let mut length = RunLength::new(TARGET, LONGEST);
        for _ in 0..100 {
            length.took(16, Duration::from_millis(12));
        }
        let before = length.piece(0);
        length.took(16, Duration::from_millis(24));
        assert!(length.piece(0) + 3 >= before, "{before}");
    }

    #[test]
    fn without_time_pieces_are_as_short_as_can_be() {
        let mut length = RunLength::new(Duration::ZERO, LONGEST);
        length.took(16, Duration::from_millis(1));
        assert_eq!(length.piece(0), SHORTEST_PIECE);
        let mut quick = RunLength::new(TARGET, LONGEST);
        quick.took(16, Duration::ZERO);
        assert_eq!(quick.piece(0), LONGEST);
    }
}
