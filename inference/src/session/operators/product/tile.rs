//! The inputs of a few tokens, rounded to 8 bits, as the product reads them.

use archmage::prelude::*;

use super::{
    TOKENS,
    panels::{QUAD, Size},
};

/// The largest whole number that an input is rounded to.
const LARGEST: f32 = 127.0;
/// A block whose largest is less is all zeros: its steps would be beyond the largest number.
const SMALLEST: f32 = 1e-30;
/// Numbers of a register of 512 bits.
const LANES: usize = 16;

/// Inputs of at most [`TOKENS`] tokens. Numbers of the same place lie side by side, token by token.
#[derive(Debug, Default)]
pub(in super::super) struct Tile {
    pub(super) tokens: usize,
    /// Four inputs of a token each, as signed bytes.
    pub(super) quads: Vec<i32>,
    /// What a block's whole numbers are to be multiplied with.
    pub(super) scales: Vec<f32>,
    /// The sum of a block's whole numbers, negative, in the lower 16 bits: -32,512 to 32,512 for blocks of 256.
    pub(super) sums: Vec<i32>,
}

impl Tile {
    /// Takes tokens in, a row of `size.inputs` numbers each. A block's largest becomes 127 or -127. Where one is no finite
    /// number, all products of the token will be none.
    pub(super) fn fill(&mut self, processor: X64V4xToken, size: Size, rows: &[f32]) {
        self.tokens = rows.len() / size.inputs;
        debug_assert!(self.tokens <= TOKENS, "as many as have room");
        self.quads.resize(rows.len() / QUAD, 0);
        self.scales.resize(self.tokens * size.blocks(), 0.0);
        self.sums.resize(self.tokens * size.blocks(), 0);
        for (token, row) in rows.chunks_exact(size.inputs).enumerate() {
            round(processor, self, size.block, token, row);
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[arcane(import_intrinsics)]
fn round(_: X64V4xToken, tile: &mut Tile, block: usize, token: usize, row: &[f32]) {
    let quads = block / QUAD * tile.tokens;
    let numbers = tile.scales.iter_mut().zip(&mut tile.sums);
    let numbers = numbers.skip(token).step_by(tile.tokens);
    let blocks = row
        .chunks_exact(block)
        .zip(tile.quads.chunks_exact_mut(quads));
    for ((values, quads), (scale, sum)) in blocks.zip(numbers) {
        let (values, _) = values.as_chunks::<LANES>();
        let (mut largest, mut zeros) = (_mm512_setzero_ps(), _mm512_setzero_ps());
        for values in values {
            let values = _mm512_loadu_ps(values);
            largest = _mm512_max_ps(largest, _mm512_abs_ps(values));
            zeros = _mm512_fmadd_ps(values, _mm512_setzero_ps(), zeros);
        }
        let largest = _mm512_reduce_max_ps(largest);
        // Zero times what is not finite is no number.
        *scale = largest / LARGEST + _mm512_reduce_add_ps(zeros);
        let steps = if largest > SMALLEST {
            LARGEST / largest
        } else {
            0.0
        };
        let mut total = _mm512_setzero_si512();
        let places = quads.chunks_exact_mut(LANES / QUAD * tile.tokens);
        for (values, places) in values.iter().zip(places) {
            let scaled = _mm512_mul_ps(_mm512_loadu_ps(values), _mm512_set1_ps(steps));
            // To the nearest, and of two as near to the even one.
            let whole = _mm512_cvtps_epi32(scaled);
            total = _mm512_add_epi32(total, whole);
            let bytes = _mm512_cvtepi32_epi8(whole);
            let quads = [
                _mm_extract_epi32::<0>(bytes),
                _mm_extract_epi32::<1>(bytes),
                _mm_extract_epi32::<2>(bytes),
                _mm_extract_epi32::<3>(bytes),
            ];
            let places = places.iter_mut().skip(token).step_by(tile.tokens);
            for (place, quad) in places.zip(quads) {
                *place = quad;
            }
        }
        *sum = _mm512_reduce_add_epi32(total).wrapping_neg() & 0xffff;
    }
}

/// Elsewhere nobody has the token.
#[cfg(not(target_arch = "x86_64"))]
fn round(_: X64V4xToken, _: &mut Tile, _: usize, _: usize, _: &[f32]) {}
