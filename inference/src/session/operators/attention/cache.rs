//! The attention cache of some conversations, as our operator reads and writes it.

use std::ops::Range;

use super::{aligned::Aligned, rows::LANES};
use crate::{kv_cache::KvShape, session::Move};

/// Rows of attention cache, one a conversation, all of the same capacity.
///
/// Both parts of a layer are `[rows, heads, capacity, head size]`. Values lie in this order; of keys, [`LANES`] positions lie
/// side by side, number by number, as [`super::rows`] wants them. So many positions take the same place in both.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    /// Keys and values of each layer.
    layers: Vec<[Aligned; 2]>,
    shape: KvShape,
    /// Positions of a row, a multiple of [`LANES`].
    capacity: usize,
}

impl Cache {
    pub(in crate::session) fn new(shape: KvShape, rows: usize, capacity: usize) -> Self {
        let capacity = capacity.next_multiple_of(LANES);
        let length = rows * shape.heads * capacity * shape.head_size;
        let part = || Aligned::new(length);
        Self {
            layers: (0..shape.layers).map(|_| [part(), part()]).collect(),
            shape,
            capacity,
        }
    }

    pub(super) fn heads(&self) -> usize {
        self.shape.heads
    }

    pub(super) fn head_size(&self) -> usize {
        self.shape.head_size
    }

    pub(in crate::session) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Keys and values of a layer.
    pub(super) fn layer(&self, layer: usize) -> Option<[&[f32]; 2]> {
        let [keys, values] = self.layers.get(layer)?;
        Some([keys, values])
    }

    /// The place of one row and head in a layer's keys, and in its values.
    pub(super) fn head(&self, row: usize, head: usize) -> Range<usize> {
        let length = self.capacity * self.shape.head_size;
        let start = (row * self.shape.heads + head) * length;
        start..start + length
    }

    /// Puts the key and the value of a position into their places.
    pub(super) fn put(
        &mut self,
        layer: usize,
        (row, head, position): (usize, usize, usize),
        key: &[f32],
        value: &[f32],
    ) {
        let (size, start) = (self.shape.head_size, self.head(row, head).start);
        let [keys, values] = &mut self.layers[layer];
        let (block, lane) = (position / LANES * LANES, position % LANES);
        let columns = keys[start + block * size + lane..]
            .iter_mut()
            .step_by(LANES);
        for (target, number) in columns.zip(key) {
            *target = *number;
        }
        values[start + position * size..][..size].copy_from_slice(value);
    }

    /// Changes the number of rows and their capacity. Conversations that are not among `moves` are lost.
    ///
    /// One part after another, so that no more than one is there twice.
    pub(in crate::session) fn resize(&mut self, rows: usize, capacity: usize, moves: &[Move]) {
        let capacity = capacity.next_multiple_of(LANES);
        let (shape, before) = (self.shape, self.capacity);
        for part in self.layers.iter_mut().flatten() {
            let mut target = Aligned::new(rows * shape.heads * capacity * shape.head_size);
            for step in moves {
                copy_row(
                    shape,
                    (part, before, step.from),
                    (&mut target, capacity, step.to),
                    step.positions.next_multiple_of(LANES),
                );
            }
            *part = target;
        }
        self.capacity = capacity;
    }

    /// Takes over the first positions of a row of another one.
    pub(in crate::session) fn copy_from(
        &mut self,
        to: usize,
        source: &Self,
        from: usize,
        positions: usize,
    ) {
        let (shape, capacity) = (self.shape, self.capacity);
        let parts = self.layers.iter_mut().flatten();
        for (target, part) in parts.zip(source.layers.iter().flatten()) {
            copy_row(
                shape,
                (part, source.capacity, from),
                (target, capacity, to),
                positions.next_multiple_of(LANES),
            );
        }
    }

    /// Some positions of the first row, whole blocks of [`LANES`]: layer by layer, head by head.
    pub(in crate::session) fn read(&self, positions: Range<usize>) -> Box<[f32]> {
        let size = self.shape.head_size;
        let mut values = Vec::with_capacity(self.shape.values(positions.len()));
        for part in self.layers.iter().flatten() {
            for head in part
                .chunks_exact(self.capacity * size)
                .take(self.shape.heads)
            {
                values.extend_from_slice(&head[positions.start * size..positions.end * size]);
            }
        }
        values.into_boxed_slice()
    }

    /// Puts back what [`Self::read`] gave for so many positions.
    pub(in crate::session) fn write(&mut self, start: usize, positions: usize, values: &[f32]) {
        let (size, heads, capacity) = (self.shape.head_size, self.shape.heads, self.capacity);
        let mut pieces = values.chunks_exact(positions * size);
        for part in self.layers.iter_mut().flatten() {
            let heads = part.chunks_exact_mut(capacity * size).take(heads);
            for (head, piece) in heads.zip(&mut pieces) {
                head[start * size..][..piece.len()].copy_from_slice(piece);
            }
        }
    }
}

/// Copies the first positions of a row to a row of another cache; each has its numbers, its capacity, and the row.
fn copy_row(
    shape: KvShape,
    (source, source_capacity, from): (&[f32], usize, usize),
    (target, target_capacity, to): (&mut [f32], usize, usize),
    positions: usize,
) {
    let (size, heads) = (shape.head_size, shape.heads);
    for head in 0..heads {
        let start = (from * heads + head) * source_capacity * size;
        let piece = &source[start..start + positions * size];
        let start = (to * heads + head) * target_capacity * size;
        target[start..start + positions * size].copy_from_slice(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: KvShape = KvShape {
        layers: 2,
        heads: 2,
        head_size: 3,
        context_length: 1000,
        number_bytes: 4,
    };

    /// The key and the value of a position, unlike all others.
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn numbers(row: usize, head: usize, position: usize) -> [[f32; 3]; 2] {
        let first = (row * 10_000 + head * 1000 + position) as f32;
        [
            [first, first + 0.25, first + 0.5],
            [-first, -first - 0.25, -first - 0.5],
        ]
    }

    fn fill(cache: &mut Cache, row: usize, as_row: usize, positions: usize) {
        for (layer, head) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            for position in 0..positions {
                let [key, value] = numbers(as_row, head, position);
                cache.put(layer, (row, head, position), &key, &value);
            }
        }
    }

    fn check(cache: &Cache, row: usize, as_row: usize, positions: usize) {
        for (layer, head) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let place = cache.head(row, head);
            let [keys, values] = cache.layer(layer).expect("a layer");
            for position in 0..positions {
                let [key, value] = numbers(as_row, head, position);
                let block = place.start + position / LANES * LANES * 3 + position % LANES;
                let found = [0, 1, 2].map(|at| keys[block + at * LANES].to_bits());
                assert_eq!(found, key.map(f32::to_bits), "{row} {position}");
                let found = [0, 1, 2].map(|at| values[place.start + position * 3 + at].to_bits());
                assert_eq!(found, value.map(f32::to_bits), "{row} {position}");
            }
        }
        assert!(cache.layer(2).is_none());
    }

    #[test]
    fn conversations_stay_what_they_are_wherever_they_go() {
        let mut cache = Cache::new(SHAPE, 3, 20);
        assert_eq!(cache.capacity(), 32);
        fill(&mut cache, 0, 0, 19);
        fill(&mut cache, 2, 2, 32);
        let moves = [(0, 1, 19), (2, 0, 32)].map(|(from, to, positions)| Move {
            from,
            to,
            positions,
        });
        cache.resize(2, 100, &moves);
        check(&cache, 0, 2, 32);
        check(&cache, 1, 0, 19);

        let mut other = Cache::new(SHAPE, 2, 33);
        other.copy_from(1, &cache, 1, 19);
        check(&other, 1, 0, 19);

        let kept = cache.read(0..16);
        let mut last = Cache::new(SHAPE, 1, 48);
        last.write(0, 16, &kept);
        last.write(16, 16, &cache.read(16..32));
        check(&last, 0, 2, 32);
    }
}
