//! Prepares grammars for a model's vocabulary.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    thread,
};

use llguidance::{Matcher, ParserFactory, api::TopLevelGrammar};

use super::{Grammar, GrammarError, source::GrammarSource, vocabulary};
use crate::tokenizer::Tokenizer;

/// Prepared grammars that are kept: programs ask for the same few again and again.
const KEPT: usize = 8;
/// What the preparation of a grammar may use of its thread's stack: schemas nest, and each level takes some.
const STACK_BYTES: usize = 64 * 1024 * 1024;
/// Nodes of the expressions that words are made of; the largest public schema takes half of it. Some 20 ms of work.
const PREPARATION_FUEL: u64 = 1_000_000;
/// Symbols of a grammar, of some ten bytes each.
const MOST_SYMBOLS: usize = 200_000;
/// Work for the words of one token's mask. Some 7 ms, where an ordinary mask takes a hundredth.
const TOKEN_FUEL: u64 = 100_000;
/// Work for the structure of one token's mask. Some 2 ms.
const MOST_TOKEN_ITEMS: usize = 40_000;
/// States of words, of some 2 kB each, that an answer may go through.
const MOST_STATES: usize = 20_000;
/// The most letters of the compiler's explanation that a client is shown.
const LONGEST_REASON: usize = 300;

/// Prepares grammars, one at a time.
pub(crate) struct GrammarCompiler {
    tokenizer: Arc<Tokenizer>,
    eos: Vec<u32>,
    /// Made for the first grammar: most models never see one.
    factory: OnceLock<Result<ParserFactory, GrammarError>>,
    kept: Mutex<VecDeque<(GrammarSource, Matcher)>>,
}

impl GrammarCompiler {
    pub(crate) fn new(tokenizer: Arc<Tokenizer>, eos: Vec<u32>) -> Self {
        Self {
            tokenizer,
            eos,
            factory: OnceLock::new(),
            kept: Mutex::default(),
        }
    }

    /// A grammar at its beginning. Takes a millisecond for an ordinary one, and is bounded for any other.
    pub(crate) fn compile(&self, source: &GrammarSource) -> Result<Grammar, GrammarError> {
        // Held over the work: what a hostile client can occupy is one thread, and not all of them.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.iter().position(|(known, _)| known == source);
        let entry = match known.and_then(|place| kept.remove(place)) {
            Some(entry) => entry,
            None => (source.clone(), self.prepare(source)?),
        };
        // A copy that shares nothing: neither its growth nor a fault in it reaches what is kept.
        let matcher = entry.1.deep_clone();
        kept.push_front(entry);
        kept.truncate(KEPT);
        Ok(Grammar { matcher })
    }

    fn prepare(&self, source: &GrammarSource) -> Result<Matcher, GrammarError> {
        let factory = self.factory.get_or_init(|| self.factory()).as_ref();
        let factory = factory.map_err(Clone::clone)?;
        let grammar = TopLevelGrammar::from_lark(source.text().to_owned());
        let prepare = || {
            let parser = factory.create_parser(grammar).map_err(told)?;
            let mut matcher = Matcher::new(Ok(parser));
            // What nothing can begin, or too much, is told now and not in the midst of an answer.
            matcher.compute_mask_or_eos().map_err(told)?;
            Ok(matcher)
        };
        thread::scope(|scope| {
            let worker = thread::Builder::new()
                .name("grammar".to_owned())
                .stack_size(STACK_BYTES)
                .spawn_scoped(scope, prepare);
            let worker = worker.map_err(told)?;
            let fault = |_| GrammarError("cannot be prepared".to_owned());
            worker.join().map_err(fault)?
        })
    }

    fn factory(&self) -> Result<ParserFactory, GrammarError> {
        let environment = vocabulary::environment(&self.tokenizer, &self.eos);
        let mut factory = ParserFactory::new_simple(&environment).map_err(told)?;
        factory.quiet();
        let limits = factory.limits_mut();
        limits.initial_lexer_fuel = PREPARATION_FUEL;
        limits.max_grammar_size = MOST_SYMBOLS;
        limits.step_lexer_fuel = TOKEN_FUEL;
        limits.step_max_items = MOST_TOKEN_ITEMS;
        limits.max_lexer_states = MOST_STATES;
        limits.verbose_errors = false;
        Ok(factory)
    }
}

/// The compiler's own words, without what is only for its authors: the place in our text of the grammar, and backtraces.
#[expect(clippy::needless_pass_by_value, reason = "errors are mapped by it")]
pub(super) fn told(error: impl ToString) -> GrammarError {
    const UNTOLD: &str = "cannot be prepared";
    let text = error.to_string();
    let mut reason = text.lines().next().unwrap_or_default().trim();
    if let Some(place) = reason.strip_prefix("at ")
        && let Some((_, after)) = place.split_once("): ")
    {
        reason = after;
    }
    let in_schema = "failed to compile JSON schema: ";
    let reason = reason.strip_prefix(in_schema).unwrap_or(reason);
    if reason.is_empty() || reason.starts_with("panic:") {
        return GrammarError(UNTOLD.to_owned());
    }
    GrammarError(reason.chars().take(LONGEST_REASON).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_those_of_the_schema() {
        for (error, expected) in [
            (
                "at 1(8): failed to compile JSON schema: Unimplemented keys: [\"not\"]\n1 | start: %json {}",
                "Unimplemented keys: [\"not\"]",
            ),
            ("too complex\n<non-verbose/>", "too complex"),
            (
                "panic: attempt to multiply\n<backtrace>",
                "cannot be prepared",
            ),
            ("", "cannot be prepared"),
        ] {
            assert_eq!(told(error), GrammarError(expected.to_owned()));
        }
    }
}
