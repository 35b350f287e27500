//! Attention of a few queries over the same keys and values, with the processor's widest registers.
//!
//! What a query gives depends on nothing but itself and what it sees: the order of all sums is the same whichever queries
//! are computed with it, and however a prompt is cut into pieces.

#![expect(
    clippy::inline_always,
    reason = "only what is inlined is compiled for the processor's registers"
)]

use pulp::{Simd, WithSimd};

use crate::exponential::exponential;

/// Vectors that are held in registers at once, for each query.
const WIDTH: usize = 4;
/// Values that are summed side by side, whatever the processor.
pub(in super::super) const LANES: usize = 16;
/// The most queries that are computed together.
pub(in super::super) const MOST: usize = 4;

/// Queries that see the same keys and values, each as many of them as it may.
pub(in super::super) struct Rows<'a, 'b> {
    /// As many as are seen, or more: [`LANES`] keys side by side, number by number.
    pub(in super::super) keys: &'a [f32],
    /// Values, a row of `size` numbers each.
    pub(in super::super) values: &'a [f32],
    /// The queries, scaled, and how many keys each sees: at least one, and no fewer than the one before. At most
    /// [`MOST`].
    pub(in super::super) queries: &'a [(&'a [f32], usize)],
    /// What comes out for each query.
    pub(in super::super) outputs: &'a mut [&'b mut [f32]],
    /// Room for the scores of all queries.
    pub(in super::super) scores: &'a mut Vec<f32>,
}

impl WithSimd for Rows<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.queries {
            [a] => self.attend(simd, [*a]),
            [a, b] => self.attend(simd, [*a, *b]),
            [a, b, c] => self.attend(simd, [*a, *b, *c]),
            [a, b, c, d] => self.attend(simd, [*a, *b, *c, *d]),
            _ => {}
        }
    }
}

impl Rows<'_, '_> {
    #[inline(always)]
    fn attend<S: Simd, const R: usize>(self, simd: S, queries: [(&[f32], usize); R]) {
        let Self {
            keys,
            values,
            outputs,
            scores,
            ..
        } = self;
        let limits = queries.map(|(_, limit)| limit);
        let queries = queries.map(|(query, _)| query);
        let stride = limits[R - 1].next_multiple_of(LANES);
        scores.clear();
        scores.resize(R * stride, 0.0);
        let size = queries[0].len();
        let whole = size / S::F32_LANES;
        let rest = whole * S::F32_LANES;
        score(simd, queries, keys, stride, scores);
        let mut shares = [0.0; R];
        for ((share, row), limit) in shares.iter_mut().zip(scores.chunks_mut(stride)).zip(limits) {
            *share = soften(&mut row[..limit]).recip();
        }
        let mut vector = 0;
        while vector + WIDTH <= whole {
            mix::<S, R, WIDTH>(simd, values, size, limits, vector, scores, shares, outputs);
            vector += WIDTH;
        }
        while vector < whole {
            mix::<S, R, 1>(simd, values, size, limits, vector, scores, shares, outputs);
            vector += 1;
        }
        for (row, output) in outputs.iter_mut().enumerate() {
            for at in rest..size {
                let weights = scores[row * stride..].iter().take(limits[row]);
                let column = values[at..].iter().step_by(size);
                let sum = weights
                    .zip(column)
                    .fold(0.0, |sum, (weight, value)| weight.mul_add(*value, sum));
                output[at] = sum * shares[row];
            }
        }
    }
}

/// `W` vectors of a row, from one of them on.
#[inline(always)]
fn vectors<S: Simd, const W: usize>(row: &[f32], vector: usize) -> [S::f32s; W] {
    let (vectors, _) = S::as_simd_f32s(row);
    // No closures where numbers are to stay in registers: not all of them are inlined.
    let vectors: &[S::f32s; W] = vectors[vector..].first_chunk().expect("so many");
    *vectors
}

/// Adds some vectors, times a weight.
#[inline(always)]
fn add<S: Simd, const W: usize>(
    simd: S,
    sums: &mut [S::f32s; W],
    weight: f32,
    values: &[S::f32s; W],
) {
    let weight = simd.splat_f32s(weight);
    for index in 0..W {
        sums[index] = simd.mul_add_e_f32s(weight, values[index], sums[index]);
    }
}

/// All scores, and some of keys that are not seen.
#[inline(always)]
fn score<S: Simd, const R: usize>(
    simd: S,
    queries: [&[f32]; R],
    keys: &[f32],
    stride: usize,
    scores: &mut [f32],
) {
    let size = queries[0].len();
    let queries = queries.map(|query| &query[..size]);
    let parts = LANES / S::F32_LANES;
    let blocks = keys.chunks_exact(size * LANES);
    for (block, keys) in blocks.take(stride / LANES).enumerate() {
        let keys = &S::as_simd_f32s(keys).0[..size * parts];
        for part in 0..parts {
            let mut sums = [simd.splat_f32s(0.0); R];
            for at in 0..size {
                let key = keys[at * parts + part];
                for row in 0..R {
                    let query = simd.splat_f32s(queries[row][at]);
                    sums[row] = simd.mul_add_e_f32s(query, key, sums[row]);
                }
            }
            for (row, sum) in sums.into_iter().enumerate() {
                let start = row * stride + block * LANES;
                let (scores, _) = S::as_mut_simd_f32s(&mut scores[start..start + LANES]);
                scores[part] = sum;
            }
        }
    }
}

/// Turns scores into weights, apart from their sum, which is given.
#[inline(always)]
fn soften(scores: &mut [f32]) -> f32 {
    let mut most = [f32::NEG_INFINITY; LANES];
    let (whole, rest) = scores.as_chunks::<LANES>();
    for chunk in whole {
        for (most, score) in most.iter_mut().zip(chunk) {
            *most = if *score > *most { *score } else { *most };
        }
    }
    let most = most
        .iter()
        .chain(rest)
        .copied()
        .fold(f32::NEG_INFINITY, f32::max);
    let (whole, rest) = scores.as_chunks_mut::<LANES>();
    let mut sums = [0.0; LANES];
    for chunk in whole {
        for (sum, score) in sums.iter_mut().zip(chunk) {
            *score = exponential(*score - most);
            *sum += *score;
        }
    }
    for (sum, score) in sums.iter_mut().zip(rest) {
        *score = exponential(*score - most);
        *sum += *score;
    }
    sums.iter().sum()
}

/// The weighted sums of some vectors of the values.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "the state of one loop")]
fn mix<S: Simd, const R: usize, const W: usize>(
    simd: S,
    values: &[f32],
    size: usize,
    limits: [usize; R],
    vector: usize,
    weights: &[f32],
    shares: [f32; R],
    outputs: &mut [&mut [f32]],
) {
    let stride = limits[R - 1].next_multiple_of(LANES);
    let mut sums = [[simd.splat_f32s(0.0); W]; R];
    let common = limits[0];
    let mut seen: [&[f32]; R] = [&[]; R];
    let mut begun: [&[f32]; R] = [&[]; R];
    for row in 0..R {
        seen[row] = &weights[row * stride..][..limits[row]];
        begun[row] = &seen[row][..common];
    }
    let values = &values[..limits[R - 1] * size];
    for at in 0..common {
        let value = vectors::<S, W>(&values[at * size..(at + 1) * size], vector);
        for row in 0..R {
            add(simd, &mut sums[row], begun[row][at], &value);
        }
    }
    for row in 1..R {
        for at in common..limits[row] {
            let value = vectors::<S, W>(&values[at * size..(at + 1) * size], vector);
            add(simd, &mut sums[row], seen[row][at], &value);
        }
    }
    for row in 0..R {
        let share = simd.splat_f32s(shares[row]);
        let (vectors, _) = S::as_mut_simd_f32s(outputs[row]);
        for index in 0..W {
            vectors[vector + index] = simd.mul_f32s(sums[row][index], share);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look like chance, from -1 to 1.
    #[expect(clippy::cast_precision_loss, reason = "a few bits")]
    fn numbers(seed: u32, count: usize) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    fn columns(size: usize, keys: &[f32]) -> Vec<f32> {
        let blocks = keys.chunks(size * LANES).flat_map(|keys| {
            let mut block = vec![0.0; size * LANES];
            for (lane, key) in keys.chunks_exact(size).enumerate() {
                for (value, target) in key.iter().zip(block.chunks_exact_mut(LANES)) {
                    target[lane] = *value;
                }
            }
            block
        });
        blocks.collect()
    }

    fn attend(
        size: usize,
        keys: &[f32],
        values: &[f32],
        queries: &[(&[f32], usize)],
    ) -> Vec<Vec<f32>> {
        let mut outputs = vec![vec![f32::NAN; size]; queries.len()];
        let mut parts: Vec<&mut [f32]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
        pulp::Arch::new().dispatch(Rows {
            keys,
            values,
            queries,
            outputs: &mut parts,
            scores: &mut Vec::new(),
        });
        outputs
    }

    /// By the definition, in 64 bits.
    fn expected(
        size: usize,
        keys: &[f32],
        values: &[f32],
        query: &[f32],
        limit: usize,
    ) -> Vec<f64> {
        let dot = |key: &[f32]| -> f64 {
            let pairs = key.iter().zip(query);
            pairs
                .map(|(key, query)| f64::from(*key) * f64::from(*query))
                .sum()
        };
        let weights: Vec<f64> = keys
            .chunks(size)
            .take(limit)
            .map(|key| dot(key).exp())
            .collect();
        let sum: f64 = weights.iter().sum();
        let column = |at: usize| -> f64 {
            let column = values[at..].iter().step_by(size);
            let pairs = weights.iter().zip(column);
            pairs
                .map(|(weight, value)| weight * f64::from(*value))
                .sum()
        };
        (0..size).map(|at| column(at) / sum).collect()
    }

    #[test]
    fn it_is_attention_for_heads_of_every_size() {
        for size in [1, 4, 8, 12, 16, 64, 72, 80, 96, 128, 256] {
            let positions = 77;
            let (keys, values) = (numbers(1, positions * size), numbers(2, positions * size));
            let queries = [numbers(3, size), numbers(4, size), numbers(5, size)];
            let limits = [1, 40, 77];
            let asked: Vec<_> = queries.iter().map(Vec::as_slice).zip(limits).collect();
            let found = attend(size, &columns(size, &keys), &values, &asked);
            for ((query, limit), found) in asked.iter().zip(found) {
                let expected = expected(size, &keys, &values, query, *limit);
                for (found, expected) in found.iter().zip(expected) {
                    let difference = (f64::from(*found) - expected).abs();
                    assert!(difference < 2e-6, "{size}: {found} and {expected}");
                }
            }
        }
    }

    #[test]
    fn company_changes_no_bit() {
        let size = 64;
        let (keys, values) = (numbers(1, 300 * size), numbers(2, 300 * size));
        let queries: Vec<Vec<f32>> = (3..7).map(|seed| numbers(seed, size)).collect();
        let asked: Vec<_> = queries
            .iter()
            .map(Vec::as_slice)
            .zip([200, 201, 202, 299])
            .collect();
        let keys = columns(size, &keys);
        let together = attend(size, &keys, &values, &asked);
        for (asked, together) in asked.iter().zip(together) {
            assert_eq!(attend(size, &keys, &values, &[*asked])[0], together);
        }
    }
}
