//! What a scheduler needs of a model: memory for conversations, and runs over it.

use std::ops::Range;

use crate::{kv_cache::KvShape, session::Move, session::SessionError};

/// A row's part of a step: its next token, and how many tokens its cache has before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) token: u32,
    pub(crate) past: usize,
}

/// A model that computes logits over caches that the caller owns.
pub(crate) trait Decoder {
    /// The attention cache of one or more conversations, one a row.
    type Cache;

    /// The dimensions of a row.
    fn shape(&self) -> KvShape;

    /// The logits of one position.
    fn vocabulary_size(&self) -> usize;

    /// Whether caches can be read, written and resized: those in a GPU's memory cannot, and have one row each.
    fn can_copy(&self) -> bool;

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
    );

    /// The content of some positions of the first row.
    fn read(&self, cache: &Self::Cache, positions: Range<usize>) -> Box<[f32]>;

    /// Puts back into the first row what `read` gave.
    fn write(&mut self, cache: &mut Self::Cache, start: usize, positions: usize, values: &[f32]);

    /// Adds tokens after the first `past` positions of a cache with one row, and returns the logits that follow the last
    /// `wanted` of them.
    fn extend<'a>(
        &mut self,
        cache: &'a mut Self::Cache,
        past: usize,
        tokens: &[u32],
        wanted: usize,
    ) -> Result<&'a [f32], SessionError>;

    /// Adds a token to every row of a cache, and returns the logits of each. A row without a conversation takes any token
    /// at its beginning.
    fn step<'a>(
        &mut self,
        cache: &'a mut Self::Cache,
        steps: &[Step],
    ) -> Result<&'a [f32], SessionError>;
}

#[cfg(test)]
pub(crate) mod fake;
