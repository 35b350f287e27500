//! What a scheduler needs of a model: memory for conversations, and runs over it.

use crate::{kv_cache::KvShape, session::Move, session::SessionError};

/// A token for a row of a cache, and how many tokens the row has before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) row: usize,
    pub(crate) token: u32,
    pub(crate) past: usize,
}

/// Tokens of the first row, after so many.
pub(crate) fn steps(past: usize, tokens: &[u32]) -> impl Iterator<Item = Step> {
    let step = |(past, &token)| Step {
        row: 0,
        token,
        past,
    };
    (past..).zip(tokens).map(step)
}

/// What a run adds to one cache.
pub(crate) struct Part<'a, C> {
    pub(crate) cache: &'a mut C,
    /// Those of one row follow each other.
    pub(crate) steps: &'a [Step],
    /// Of so many of the last ones the logits are wanted.
    pub(crate) wanted: usize,
}

impl<'a, C> Part<'a, C> {
    pub(crate) fn new(cache: &'a mut C, steps: &'a [Step], wanted: usize) -> Self {
        Self {
            cache,
            steps,
            wanted,
        }
    }
}

/// A model that computes logits over caches that the caller owns.
pub(crate) trait Decoder {
    /// The attention cache of one or more conversations, one a row.
    type Cache;
    /// The content of [`BLOCK`](crate::kv_cache::BLOCK) positions of one conversation.
    type Block;

    /// The dimensions of a row.
    fn shape(&self) -> KvShape;

    /// The logits of one position.
    fn vocabulary_size(&self) -> usize;

    /// Tokens of a prompt in a run beside which others wait for their next token, at most: more would be no faster.
    fn longest_piece(&self) -> usize;

    /// Whether caches of any kind can take part in one run.
    fn can_join(&self) -> bool;

    /// Whether tokens have the same logits, bit for bit, in any run but one of [`Self::step_alone`].
    fn is_uniform(&self) -> bool;

    /// New memory, of any content.
    fn allocate(&mut self, rows: usize, capacity: usize) -> Result<Self::Cache, SessionError>;

    /// Changes rows and capacity; conversations that are not among `moves` are lost. After an error nothing in the cache
    /// is valid.
    fn resize(
        &mut self,
        cache: &mut Self::Cache,
        rows: usize,
        capacity: usize,
        moves: &[Move],
    ) -> Result<(), SessionError>;

    /// Copies the first positions of one row to a row of another cache.
    fn copy(
        &mut self,
        source: (&Self::Cache, usize),
        target: (&mut Self::Cache, usize),
        positions: usize,
    ) -> Result<(), SessionError>;

    /// The content of so many blocks of the first row, from a position on.
    fn read(
        &mut self,
        cache: &Self::Cache,
        start: usize,
        blocks: usize,
    ) -> Result<Vec<Self::Block>, SessionError>;

    /// Puts blocks that `read` gave into the first row, one after the other from its beginning on.
    fn write(
        &mut self,
        cache: &mut Self::Cache,
        blocks: &[&Self::Block],
    ) -> Result<(), SessionError>;

    /// Adds tokens after the first `past` positions of a cache with one row, and returns the logits that follow the last
    /// `wanted` of them, at least one.
    fn extend<'a>(
        &'a mut self,
        cache: &'a mut Self::Cache,
        past: usize,
        tokens: &[u32],
        wanted: usize,
    ) -> Result<&'a [f32], SessionError>;

    /// Adds a token to each of some rows, in their order, and returns the logits of each.
    fn step<'a>(
        &'a mut self,
        cache: &'a mut Self::Cache,
        steps: &[Step],
    ) -> Result<&'a [f32], SessionError>;

    /// Adds a token to the only row of a cache in the shortest time, where no other run has to give the same bits.
    fn step_alone<'a>(
        &'a mut self,
        cache: &'a mut Self::Cache,
        step: Step,
    ) -> Result<&'a [f32], SessionError> {
        self.step(cache, &[step])
    }

    /// Adds tokens to several caches in one run, and returns the logits that are wanted, one part after the other. Only
    /// where [`Self::can_join`].
    fn join<'a>(
        &'a mut self,
        parts: &mut [Part<'_, Self::Cache>],
    ) -> Result<&'a [f32], SessionError>;
}

#[cfg(test)]
pub(crate) mod fake;
