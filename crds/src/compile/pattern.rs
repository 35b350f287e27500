//! What a pattern costs, or why it cannot be used.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError},
};

use regex_automata::meta::{Config, Regex};

/// Compiled size that one pattern may have, as the gateway compiles with the same bound.
pub const PATTERN_SIZE_LIMIT_BYTES: usize = 1 << 20;

/// The bytes that a pattern takes compiled, or what is wrong with it.
pub(super) type Verdict = Result<usize, String>;

/// So many verdicts are remembered: compiling a large pattern takes milliseconds, and the same ones come with every
/// change of a gateway.
const REMEMBERED: usize = 4096;

static VERDICTS: LazyLock<Mutex<HashMap<String, Verdict>>> = LazyLock::new(Mutex::default);

/// Judges a pattern; the same one always the same.
pub(super) fn judge(pattern: &str) -> Verdict {
    // A map of finished verdicts is whole whatever panicked elsewhere.
    let known = || VERDICTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(verdict) = known().get(pattern) {
        return verdict.clone();
    }
    let verdict = compile(pattern);
    let mut verdicts = known();
    if verdicts.len() >= REMEMBERED {
        verdicts.clear();
    }
    verdicts.insert(pattern.to_owned(), verdict.clone());
    verdict
}

fn compile(pattern: &str) -> Verdict {
    let config = Config::new().nfa_size_limit(Some(PATTERN_SIZE_LIMIT_BYTES));
    let built = Regex::builder().configure(config).build(pattern);
    built.map(|regex| regex.memory_usage()).map_err(|error| {
        if error.size_limit().is_some() {
            return format!("it takes more than {PATTERN_SIZE_LIMIT_BYTES} bytes compiled");
        }
        let error = error
            .syntax_error()
            .map_or_else(|| error.to_string(), ToString::to_string);
        // The library's text draws the pattern over several lines; its last line is the cause.
        let cause = error.lines().last().unwrap_or_default();
        cause.trim_start_matches("error: ").to_owned()
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::unclosed("^/(api", "unclosed group")]
    #[case::look_around("^(?!x)", "look-around")]
    #[case::bomb("((a{100}){100}){100}", "more than 1048576 bytes")]
    fn what_cannot_be_used_is_told(#[case] pattern: &str, #[case] expected: &str) {
        for _ in 0..2 {
            let told = judge(pattern).expect_err("refused");
            assert!(told.contains(expected), "{told}");
        }
    }

    #[test]
    fn a_large_pattern_costs_more() {
        let (small, large) = (judge("^/api/v1/chat"), judge(r"\w{20}"));
        assert!(small.expect("fine") < large.expect("fine") / 10);
    }
}
