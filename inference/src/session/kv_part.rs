//! The keys, or the values, of one layer of an attention cache: `[rows, heads, capacity, head size]` numbers.

use std::ops::Range;

use crate::kv_cache::KvShape;

/// Copies the first positions of a row to a row of another cache; each has its numbers, its capacity, and the row.
pub(super) fn copy_row(
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

/// Some positions of the first row of all parts: part by part, head by head.
pub(super) fn read<'a>(
    shape: KvShape,
    capacity: usize,
    parts: impl Iterator<Item = &'a [f32]>,
    positions: Range<usize>,
) -> Box<[f32]> {
    let size = shape.head_size;
    let mut values = Vec::with_capacity(shape.values(positions.len()));
    for part in parts {
        for head in part.chunks_exact(capacity * size).take(shape.heads) {
            values.extend_from_slice(&head[positions.start * size..positions.end * size]);
        }
    }
    values.into_boxed_slice()
}

/// Puts back what [`read`] gave for so many positions.
pub(super) fn write<'a>(
    shape: KvShape,
    capacity: usize,
    parts: impl Iterator<Item = &'a mut [f32]>,
    (start, positions): (usize, usize),
    values: &[f32],
) {
    let size = shape.head_size;
    let mut pieces = values.chunks_exact(positions * size);
    for part in parts {
        let heads = part.chunks_exact_mut(capacity * size).take(shape.heads);
        for (head, piece) in heads.zip(&mut pieces) {
            head[start * size..][..piece.len()].copy_from_slice(piece);
        }
    }
}
