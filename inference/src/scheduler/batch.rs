//! Answers that step together: one row of a common cache each.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::stats::Speculated;
use crate::{
    decoder::{Decoder, Part, Step},
    event::GenerationError,
    fault::message,
    generation::{Generation, Next, Vocabulary},
    kv_cache::KvShape,
    session::{Move, SessionError},
    speculation::{Drafter, LONGEST},
};

/// An answer whose prompt is computed.
pub(super) struct Running {
    pub(super) generation: Generation,
    /// Its tokens that are in the cache.
    pub(super) past: usize,
    /// Those that came earlier have smaller ones.
    pub(super) number: u64,
    drafter: Drafter,
}

impl Running {
    pub(super) fn new(generation: Generation, past: usize, number: u64) -> Self {
        Self {
            generation,
            past,
            number,
            drafter: Drafter::default(),
        }
    }

    fn step(&self, row: usize) -> Step {
        let token = self.generation.tokens().get(self.past).copied();
        Step {
            row,
            token: token.unwrap_or_default(),
            past: self.past,
        }
    }

    /// Takes the logits after the token at `past`. Of an answer that is computed again, the tokens are known.
    fn advance(&mut self, logits: &[f32], vocabulary: &Vocabulary) -> Next {
        self.past += 1;
        match self.generation.tokens().get(self.past) {
            Some(&token) => Next::Token(token),
            None => accept(&mut self.generation, logits, vocabulary),
        }
    }
}

/// Chooses the next token. A panic, which can only come from this answer's own parts, ends this answer.
pub(super) fn accept(generation: &mut Generation, logits: &[f32], vocabulary: &Vocabulary) -> Next {
    let attempt = catch_unwind(AssertUnwindSafe(|| generation.accept(logits, vocabulary)));
    attempt.unwrap_or_else(|panic| {
        fail(
            generation,
            GenerationError::Panicked {
                message: message(&*panic),
            },
        );
        Next::Ended
    })
}

/// Gives the last event to a sink that may itself be what panics.
pub(super) fn fail(generation: &mut Generation, error: GenerationError) {
    // Nothing follows, so its panic makes no difference.
    let _ = catch_unwind(AssertUnwindSafe(|| generation.fail(error)));
}

/// Takes the logits of each row that has an answer, one after the other. Rows that ended are gaps afterwards.
pub(super) fn advance<'a>(
    rows: &mut [Option<Running>],
    logits: &mut impl Iterator<Item = &'a [f32]>,
    vocabulary: &Vocabulary,
) {
    for row in rows.iter_mut().filter(|row| row.is_some()) {
        let (Some(running), Some(logits)) = (row.as_mut(), logits.next()) else {
            return;
        };
        if running.advance(logits, vocabulary) == Next::Ended {
            *row = None;
        }
    }
}

/// Rows of one capacity, some of which may be gaps.
pub(super) struct Batch<C> {
    pub(super) cache: C,
    pub(super) capacity: usize,
    pub(super) rows: Vec<Option<Running>>,
    /// Turns in a row after which there were gaps.
    pub(super) wasteful_steps: usize,
    steps: Vec<Step>,
    guess: Vec<u32>,
}

impl<C> Batch<C> {
    pub(super) fn new(cache: C, capacity: usize, first: Running) -> Self {
        Self {
            cache,
            capacity,
            rows: vec![Some(first)],
            wasteful_steps: 0,
            steps: Vec::new(),
            guess: Vec::new(),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.rows.iter().flatten().count()
    }

    pub(super) fn bytes(&self, shape: KvShape) -> usize {
        self.rows.len() * shape.bytes(self.capacity)
    }

    /// Notes after a turn whether there are gaps.
    pub(super) fn watch_gaps(&mut self) {
        if self.gap().is_some() {
            self.wasteful_steps += 1;
        } else {
            self.wasteful_steps = 0;
        }
    }

    pub(super) fn gap(&self) -> Option<usize> {
        self.rows.iter().position(Option::is_none)
    }

    /// Changes the capacity, leaves gaps out, and adds `more` of them at the end.
    pub(super) fn resize<D: Decoder<Cache = C>>(
        &mut self,
        decoder: &mut D,
        capacity: usize,
        more: usize,
    ) -> Result<(), SessionError> {
        let kept = self.rows.iter().enumerate();
        let kept = kept.filter_map(|(from, row)| row.as_ref().map(|row| (from, row.past)));
        let moves: Vec<Move> = kept
            .enumerate()
            .map(|(to, (from, positions))| Move {
                from,
                to,
                positions,
            })
            .collect();
        decoder.resize(&mut self.cache, moves.len() + more, capacity, &moves)?;
        self.rows.retain(Option::is_some);
        self.rows.extend(std::iter::repeat_with(|| None).take(more));
        self.capacity = capacity;
        self.wasteful_steps = 0;
        Ok(())
    }

    /// The next token of every row, as a part of a run. [`advance`] takes what comes of it.
    pub(super) fn part(&mut self) -> (Part<'_, C>, &mut [Option<Running>]) {
        let Self {
            cache, rows, steps, ..
        } = self;
        steps.clear();
        let numbered = rows.iter().enumerate();
        steps.extend(numbered.filter_map(|(row, running)| Some(running.as_ref()?.step(row))));
        (Part::new(cache, steps, steps.len()), rows)
    }

    /// Computes the next token of every row.
    pub(super) fn step<D: Decoder<Cache = C>>(
        &mut self,
        decoder: &mut D,
        vocabulary: &Vocabulary,
    ) -> Result<(), SessionError> {
        let size = decoder.vocabulary_size();
        let (Part { cache, steps, .. }, rows) = self.part();
        let logits = decoder.step(cache, steps)?;
        advance(rows, &mut logits.chunks_exact(size), vocabulary);
        Ok(())
    }

    /// Like [`Self::step`] for the only answer there is: several tokens at once where a guess of them comes true, and
    /// otherwise one in the shortest time.
    pub(super) fn step_alone<D: Decoder<Cache = C>>(
        &mut self,
        decoder: &mut D,
        vocabulary: &Vocabulary,
        speculated: &Speculated,
    ) -> Result<(), SessionError> {
        if let Some(guessed) = self.prepare_guess(decoder.is_uniform()) {
            return self.step_by_guess(decoder, vocabulary, guessed, speculated);
        }
        let mut running = self.rows.iter().flatten();
        if running.any(|running| running.generation.is_seeded()) {
            return self.step(decoder, vocabulary);
        }
        let size = decoder.vocabulary_size();
        let (Part { cache, steps, .. }, rows) = self.part();
        let &[step] = steps else {
            return self.step(decoder, vocabulary);
        };
        let logits = decoder.step_alone(cache, step)?;
        advance(rows, &mut logits.chunks_exact(size), vocabulary);
        Ok(())
    }

    fn step_by_guess<D: Decoder<Cache = C>>(
        &mut self,
        decoder: &mut D,
        vocabulary: &Vocabulary,
        guessed: usize,
        speculated: &Speculated,
    ) -> Result<(), SessionError> {
        let Self {
            cache, rows, guess, ..
        } = self;
        let Some(Some(running)) = rows.first_mut() else {
            return Ok(());
        };
        let size = decoder.vocabulary_size();
        let logits = decoder.extend(cache, running.past, guess, guess.len())?;
        let mut came = 0;
        for (index, logits) in logits.chunks_exact(size).enumerate() {
            match running.advance(logits, vocabulary) {
                Next::Token(token) if guess.get(index + 1) == Some(&token) => came += 1,
                Next::Token(_) => break,
                Next::Ended => {
                    speculated.add(guessed, came);
                    rows[0] = None;
                    return Ok(());
                }
            }
        }
        speculated.add(guessed, came);
        running.drafter.judge(guessed, came);
        Ok(())
    }

    /// Puts the last token and what may follow it into `guess`, unless nothing is guessed. An answer that must be the same
    /// whatever happens is guessed for where several tokens have the same logits as one by one.
    fn prepare_guess(&mut self, is_uniform: bool) -> Option<usize> {
        let [Some(running)] = self.rows.as_mut_slice() else {
            return None;
        };
        let (tokens, past) = (running.generation.tokens(), running.past);
        let may_guess =
            running.generation.may_speculate() && (is_uniform || !running.generation.is_seeded());
        if !may_guess || past + 1 != tokens.len() {
            return None;
        }
        let room = self.capacity - past - 1;
        let most = LONGEST
            .min(running.generation.remaining().saturating_sub(1))
            .min(room);
        self.guess.clear();
        self.guess.push(tokens[past]);
        match running.drafter.draft(tokens, most, &mut self.guess) {
            0 => {
                running.drafter.went_without();
                None
            }
            guessed => Some(guessed),
        }
    }
}
