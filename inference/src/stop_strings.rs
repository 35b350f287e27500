//! Ends text before the first stop string, which may begin in one piece of text and end in a later one.

/// Passes text on, but holds back what may become a stop string.
#[derive(Debug)]
pub(crate) struct StopStrings {
    stops: Vec<String>,
    held: String,
}

/// What a piece of text led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// This much is safe to show.
    Text(String),
    /// A stop string was found; this is the text before it.
    Stopped(String),
}

impl StopStrings {
    /// Empty stop strings must not be given: they would stop everything.
    pub(crate) fn new(stops: Vec<String>) -> Self {
        Self {
            stops,
            held: String::new(),
        }
    }

    /// Adds text, and returns what is decided.
    pub(crate) fn push(&mut self, text: &str) -> Passed {
        self.held.push_str(text);
        let found = self
            .stops
            .iter()
            .filter_map(|stop| self.held.find(stop.as_str()))
            .min();
        if let Some(start) = found {
            self.held.truncate(start);
            return Passed::Stopped(std::mem::take(&mut self.held));
        }
        let undecided = self
            .held
            .split_off(self.held.len() - self.undecided_length());
        Passed::Text(std::mem::replace(&mut self.held, undecided))
    }

    /// What was held back, when no more text comes.
    pub(crate) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// The length of the longest end of the text that begins a stop string.
    fn undecided_length(&self) -> usize {
        let longest = |stop: &String| {
            let lengths = 1..=stop.len().saturating_sub(1).min(self.held.len());
            lengths
                .rev()
                .find(|&length| self.held.as_bytes().ends_with(&stop.as_bytes()[..length]))
        };
        // A stop string begins with a whole character, so its beginning is never found inside one.
        self.stops.iter().filter_map(longest).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stops(stops: &[&str]) -> StopStrings {
        StopStrings::new(stops.iter().map(|&stop| stop.to_owned()).collect())
    }

    fn run(stop_strings: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut matcher = stops(stop_strings);
        let mut shown = String::new();
        for piece in pieces {
            match matcher.push(piece) {
                Passed::Text(text) => shown.push_str(&text),
                Passed::Stopped(text) => return (shown + &text, true),
            }
        }
        (shown + &matcher.finish(), false)
    }

    #[test]
    fn text_without_stop_strings_passes_at_once() {
        assert_eq!(stops(&[]).push("hello"), Passed::Text("hello".to_owned()));
    }

    #[test]
    fn a_stop_string_across_pieces_is_found_and_not_shown() {
        assert_eq!(
            run(&["END"], &["one E", "N", "D two"]),
            ("one ".to_owned(), true)
        );
    }

    #[test]
    fn what_only_looked_like_a_stop_string_is_shown() {
        let mut matcher = stops(&["END"]);
        assert_eq!(matcher.push("EN"), Passed::Text(String::new()));
        assert_eq!(matcher.push("OUGH"), Passed::Text("ENOUGH".to_owned()));
        assert_eq!(run(&["END"], &["the E"]), ("the E".to_owned(), false));
    }

    #[test]
    fn the_earliest_of_several_stop_strings_counts() {
        assert_eq!(
            run(&["late", "\n\n"], &["a\n\nlate"]),
            ("a".to_owned(), true)
        );
    }

    #[test]
    fn repeated_beginnings_do_not_hide_a_stop_string() {
        assert_eq!(run(&["aab"], &["a", "a", "a", "b"]), ("a".to_owned(), true));
    }

    #[test]
    fn characters_of_several_bytes_are_never_cut() {
        assert_eq!(
            run(&["é!"], &["caf", "é", "s"]),
            ("cafés".to_owned(), false)
        );
        assert_eq!(run(&["🙂🙂"], &["a🙂", "🙂b"]), ("a".to_owned(), true));
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(pieces in proptest::collection::vec("[abé🙂]{0,4}", 0..12)) {
            let stop_strings = ["ab", "éa", "🙂b"];
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            prop_assert_eq!(run(&stop_strings, &pieces), run(&stop_strings, &[&pieces.concat()]));
        }
    }
}
