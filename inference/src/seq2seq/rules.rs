//! Which token comes next: the likeliest of those that the rules allow. Pure.

use super::directory::Rules;

impl Rules {
    /// The next token after `tokens`, the unseen first one among them; none where no logit is a number. `longest` is
    /// how long all may become.
    pub(crate) fn choose(&self, logits: &[f32], tokens: &[u32], longest: usize) -> Option<u32> {
        if let Some(first) = self.forced_first
            && tokens.len() == 1
        {
            return Some(first);
        }
        if let Some(last) = self.forced_last
            && tokens.len() + 1 == longest
        {
            return Some(last);
        }
        let banned = self.banned(tokens);
        let is_allowed = |token: u32| {
            !(banned.contains(&token) || tokens.len() < self.shortest && self.end.contains(&token))
        };
        (0..)
            .zip(logits)
            .filter(|(token, logit)| !logit.is_nan() && is_allowed(*token))
            .max_by(|(_, left), (_, right)| left.total_cmp(right))
            .map(|(token, _)| token)
    }

    /// Whether a token ends the answer.
    pub(crate) fn is_end(&self, token: u32) -> bool {
        self.end.contains(&token)
    }

    /// Tokens that would repeat what stands in the answer already.
    fn banned(&self, tokens: &[u32]) -> Vec<u32> {
        let size = self.no_repeat;
        if size == 0 || tokens.len() + 1 < size {
            return Vec::new();
        }
        let tail = &tokens[tokens.len() + 1 - size..];
        let windows = tokens.windows(size);
        windows
            .filter(|window| window[..size - 1] == *tail)
            .map(|window| window[size - 1])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules {
            start: 0,
            end: vec![1],
            forced_first: None,
            forced_last: None,
            shortest: 0,
            longest: 10,
            no_repeat: 0,
        }
    }

    const LOGITS: [f32; 4] = [0.0, 3.0, 2.0, 1.0];

    #[test]
    fn the_likeliest_allowed_token_comes_next() {
        assert_eq!(rules().choose(&LOGITS, &[0], 10), Some(1));
        let rules = Rules {
            shortest: 3,
            ..rules()
        };
        assert_eq!(rules.choose(&LOGITS, &[0, 2], 10), Some(2));
        assert_eq!(rules.choose(&LOGITS, &[0, 2, 2], 10), Some(1));
        assert_eq!(rules.choose(&[f32::NAN; 2], &[0], 10), None);
    }

    #[test]
    fn first_and_last_tokens_are_forced() {
        let rules = Rules {
            forced_first: Some(3),
            forced_last: Some(1),
            ..rules()
        };
        assert_eq!(rules.choose(&[9.0, 0.0, 0.0, 0.0], &[0], 10), Some(3));
        assert_eq!(rules.choose(&[9.0, 0.0, 0.0, 0.0], &[0, 3, 3], 4), Some(1));
    }

    #[test]
    fn nothing_is_said_twice() {
        let rules = Rules {
            no_repeat: 2,
            ..rules()
        };
        // 2 was followed by 1 and by 3 already.
        assert_eq!(rules.choose(&LOGITS, &[2, 1, 2, 3, 2], 10), Some(2));
    }
}
