//! Answers that step together: one row of a common cache each.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::stats::Speculated;
use crate::{
    decoder::{Decoder, Step},
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

    fn step(&self) -> Step {
        let token = self.generation.tokens().get(self.past).copied();
        Step {
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

/// Rows of one capacity, some of which may be gaps.
pub(super) struct Batch<C> {
    pub(super) cache: C,
    pub(super) capacity: usize,
    pub(super) rows: Vec<Option<Running>>,
    /// Steps in a row that had gaps.
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

    /// Computes the next token of every row. Rows that ended are gaps afterwards.
    pub(super) fn step<D: Decoder<Cache = C>>(
        &mut self,
        decoder: &mut D,
        vocabulary: &Vocabulary,
    ) -> Result<(), SessionError> {
        let Self {
            cache, rows, steps, ..
        } = self;
        steps.clear();
        steps.extend(rows.iter().map(|row| match row {
            Some(running) => running.step(),
            None => Step::default(),
        }));
        let size = decoder.vocabulary_size();
        let logits = decoder.step(cache, steps)?;
        for (row, logits) in rows.iter_mut().zip(logits.chunks_exact(size)) {
            let next = row.as_mut().map(|row| row.advance(logits, vocabulary));
            if next == Some(Next::Ended) {
                *row = None;
            }
        }
        if self.gap().is_some() {
            self.wasteful_steps += 1;
        } else {
            self.wasteful_steps = 0;
        }
        Ok(())
    }

    /// Like [`Self::step`] for a batch of one row, but several tokens at once where a guess of them comes true.
    pub(super) fn step_by_guess<D: Decoder<Cache = C>>(
        &mut self,
        decoder: &mut D,
        vocabulary: &Vocabulary,
        speculated: &Speculated,
    ) -> Result<(), SessionError> {
        let Some(guessed) = self.prepare_guess() else {
            return self.step(decoder, vocabulary);
        };
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

    /// Puts the last token and what may follow it into `guess`, unless nothing is guessed.
    fn prepare_guess(&mut self) -> Option<usize> {
        let [Some(running)] = self.rows.as_mut_slice() else {
            return None;
        };
        let (tokens, past) = (running.generation.tokens(), running.past);
        if !running.generation.may_speculate() || past + 1 != tokens.len() {
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
