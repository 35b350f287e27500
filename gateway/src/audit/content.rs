//! What was asked and answered, for records that are to have it: bounded, and it says where something is left out. Pure.

/// Bytes of the texts of a prompt, and of those of its answers. More would make records larger than what systems that
/// receive them take.
const MOST_BYTES: usize = 16 << 10;
/// Answers to one prompt.
const MOST_ANSWERS: usize = 8;

/// What was asked and answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Who said what, oldest first. The newest are kept.
    pub prompt: Vec<(&'static str, String)>,
    /// The answers by number; one, unless more were asked for.
    pub answers: Vec<String>,
    /// Whether something is left out.
    pub is_truncated: bool,
}

impl Content {
    /// Note a conversation, instead of what was noted before.
    pub fn ask<'a>(&mut self, messages: impl DoubleEndedIterator<Item = (&'static str, &'a str)>) {
        self.prompt.clear();
        let mut left = MOST_BYTES;
        for (role, text) in messages.rev() {
            let kept = head(text, left);
            left -= kept.len();
            if !kept.is_empty() || text.is_empty() {
                self.prompt.push((role, kept.to_owned()));
            }
            if kept.len() < text.len() {
                self.is_truncated = true;
                break;
            }
        }
        self.prompt.reverse();
    }

    /// Note a piece of an answer.
    pub fn answer(&mut self, number: usize, text: &str) {
        if number >= MOST_ANSWERS {
            self.is_truncated = true;
            return;
        }
        if self.answers.len() <= number {
            self.answers.resize_with(number + 1, String::new);
        }
        let said: usize = self.answers.iter().map(String::len).sum();
        let kept = head(text, MOST_BYTES.saturating_sub(said));
        self.answers[number].push_str(kept);
        self.is_truncated |= kept.len() < text.len();
    }

    /// Something is there that is not text.
    pub fn leave_out(&mut self) {
        self.is_truncated = true;
    }

    /// Nothing of it can be kept.
    pub(super) fn omit(&mut self) {
        *self = Self {
            is_truncated: true,
            ..Self::default()
        };
    }

    /// What it takes, about.
    pub(super) fn bytes(&self) -> usize {
        let prompt = self.prompt.iter().map(|(_, text)| text.len());
        let answers = self.answers.iter().map(String::len);
        prompt.chain(answers).sum()
    }
}

/// The beginning of a text, in whole characters.
fn head(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_a_prompt_and_the_beginning_of_an_answer_are_kept() {
        let mut content = Content::default();
        let long = "ä".repeat(MOST_BYTES / 2 - 1);
        let messages = [
            ("system", "be brief"),
            ("user", long.as_str()),
            ("user", "x"),
        ];
        content.ask(messages.into_iter());
        assert_eq!(
            content.prompt,
            [("system", "b".into()), ("user", long), ("user", "x".into())]
        );
        assert!(content.is_truncated);
        for _ in 0..3 {
            content.answer(0, &"y".repeat(MOST_BYTES / 2));
        }
        content.answer(1, "z");
        content.answer(MOST_ANSWERS, "z");
        assert_eq!(content.answers, ["y".repeat(MOST_BYTES), String::new()]);
    }

    #[test]
    fn what_fits_is_whole() {
        let mut content = Content::default();
        content.ask([("user", "hi")].into_iter());
        content.answer(0, "hel");
        content.answer(0, "lo");
        assert_eq!(content.answers, ["hello"]);
        assert!(!content.is_truncated && content.bytes() == 7);
    }
}
