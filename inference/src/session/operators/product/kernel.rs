//! The product of a tile's tokens with a panel's weights.

use archmage::prelude::*;

use super::{
    TOKENS,
    panels::{COLUMNS, Panel},
    tile::Tile,
};

/// What comes out: for each token a number of each output. Tokens that are not in the tile are left as they are.
pub(super) type Products = [[f32; COLUMNS]; TOKENS];

/// Multiplies. Each block's sum is exact, and a token's blocks are added in their order, whatever else is computed.
pub(super) fn multiply(processor: X64V4xToken, panel: Panel<'_>, tile: &Tile, into: &mut Products) {
    match tile.tokens {
        1 => tokens::<1>(processor, panel, tile, into),
        2 => tokens::<2>(processor, panel, tile, into),
        3 => tokens::<3>(processor, panel, tile, into),
        4 => tokens::<4>(processor, panel, tile, into),
        5 => tokens::<5>(processor, panel, tile, into),
        6 => tokens::<6>(processor, panel, tile, into),
        7 => tokens::<7>(processor, panel, tile, into),
        _ => tokens::<TOKENS>(processor, panel, tile, into),
    }
}

#[cfg(target_arch = "x86_64")]
#[arcane(import_intrinsics)]
fn tokens<const T: usize>(_: X64V4xToken, panel: Panel<'_>, tile: &Tile, into: &mut Products) {
    let (quads, _) = tile.quads.as_chunks::<T>();
    let (input_scales, _) = tile.scales.as_chunks::<T>();
    let (sums, _) = tile.sums.as_chunks::<T>();
    let blocks = panel.scales.len();
    let length = quads.len() / blocks;
    // No iterators and closures where numbers are to stay in registers: not all of them are inlined.
    let (input_scales, sums) = (&input_scales[..blocks], &sums[..blocks]);
    let zero_points = &panel.zero_points[..blocks];
    let mut totals = [_mm512_setzero_ps(); T];
    for block in 0..blocks {
        // The sum of inputs times the zero point, which is not in the weights yet.
        let zero_point = _mm512_cvtepu8_epi32(_mm_loadu_si128(&zero_points[block]));
        let mut products = [_mm512_setzero_si512(); T];
        for token in 0..T {
            let sum = _mm512_set1_epi32(sums[block][token]);
            products[token] = _mm512_dpwssd_epi32(products[token], zero_point, sum);
        }
        let weights = &panel.quads[block * length..][..length];
        let inputs = &quads[block * length..][..length];
        for quad in 0..length {
            let weights = _mm512_loadu_si512(&weights[quad]);
            for token in 0..T {
                let inputs = _mm512_set1_epi32(inputs[quad][token]);
                products[token] = _mm512_dpbusd_epi32(products[token], weights, inputs);
            }
        }
        let scales = _mm512_castsi512_ps(_mm512_loadu_si512(&panel.scales[block]));
        for token in 0..T {
            let scales = _mm512_mul_ps(scales, _mm512_set1_ps(input_scales[block][token]));
            let products = _mm512_cvtepi32_ps(products[token]);
            totals[token] = _mm512_fmadd_ps(products, scales, totals[token]);
        }
    }
    for token in 0..T {
        _mm512_storeu_ps(&mut into[token], totals[token]);
    }
}

/// Elsewhere nobody has the token.
#[cfg(not(target_arch = "x86_64"))]
fn tokens<const T: usize>(_: X64V4xToken, _: Panel<'_>, _: &Tile, _: &mut Products) {}

#[cfg(test)]
mod tests {
    use std::num::NonZero;

    use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
    use rstest::rstest;

    use super::{
        super::{
            arena::Arena,
            panels::{Panels, Size},
        },
        *,
    };

    fn size(outputs: usize, inputs: usize, block: usize) -> Size {
        Size {
            outputs,
            inputs,
            block,
        }
    }

    /// A product and its parts.
    struct Case {
        size: Size,
        weights: Vec<u8>,
        scales: Vec<f32>,
        zero_points: Vec<u8>,
        rows: Vec<f32>,
    }

    impl Case {
        fn new(size: Size, tokens: usize) -> Self {
            let mut random = StdRng::seed_from_u64(size.block as u64);
            let blocks = size.outputs * size.blocks();
            let mut bytes = |count: usize| -> Vec<u8> {
                (0..count).map(|_| random.random_range(0..=255)).collect()
            };
            let weights = bytes(size.outputs * size.inputs);
            let zero_points = bytes(blocks);
            let mut floats = |count: usize, from: f32, to: f32| -> Vec<f32> {
                (0..count).map(|_| random.random_range(from..to)).collect()
            };
            Self {
                size,
                weights,
                scales: floats(blocks, 0.001, 0.1),
                zero_points,
                rows: floats(tokens * size.inputs, -4.0, 4.0),
            }
        }

        /// The products of some tokens, computed together.
        fn products(&self, processor: X64V4xToken, tokens: std::ops::Range<usize>) -> Vec<f32> {
            let Size {
                outputs, inputs, ..
            } = self.size;
            let mut arena = Arena::default();
            let scales = self.scales.iter().flat_map(|scale| scale.to_le_bytes());
            let scales: Vec<u8> = scales.collect();
            let panels = Panels::pack(
                &mut arena,
                self.size,
                &self.weights,
                &scales,
                &self.zero_points,
                NonZero::<usize>::MIN,
            );
            let panels = panels.expect("whole");
            let mut tile = Tile::default();
            let rows = &self.rows[tokens.start * inputs..tokens.end * inputs];
            tile.fill(processor, self.size, rows);
            let mut output = vec![0.0; tokens.len() * outputs];
            for panel in 0..self.size.panels() {
                let mut products = Products::default();
                multiply(processor, panels.panel(&arena, panel), &tile, &mut products);
                for (row, products) in output.chunks_exact_mut(outputs).zip(&products) {
                    for (value, product) in row[panel * COLUMNS..].iter_mut().zip(products) {
                        *value = *product;
                    }
                }
            }
            output
        }

        /// The definition, in 64 bits: inputs rounded to 8 bits by block, weights less their zero points.
        fn defined(&self, token: usize, output: usize) -> f64 {
            let Size { inputs, block, .. } = self.size;
            let row = &self.rows[token * inputs..][..inputs];
            let weights = &self.weights[output * inputs..][..inputs];
            let blocks = row.chunks(block).zip(weights.chunks(block)).enumerate();
            let sums = blocks.map(|(number, (row, weights))| {
                let number = output * self.size.blocks() + number;
                let largest = row
                    .iter()
                    .fold(0.0_f32, |most, value| most.max(value.abs()));
                let zero_point = i32::from(self.zero_points[number]);
                let products = row.iter().zip(weights).map(|(value, weight)| {
                    let rounded = (value * (127.0 / largest)).round_ties_even();
                    f64::from(rounded) * f64::from(i32::from(*weight) - zero_point)
                });
                let scale = f64::from(self.scales[number]) * f64::from(largest) / 127.0;
                products.sum::<f64>() * scale
            });
            sums.sum()
        }
    }

    #[rstest]
    #[case(16, 16)]
    #[case(32, 96)]
    #[case(64, 576)]
    #[case(128, 1536)]
    #[case(256, 512)]
    fn products_are_those_of_the_definition(#[case] block: usize, #[case] inputs: usize) {
        let Some(processor) = X64V4xToken::summon() else {
            return;
        };
        let outputs = 37;
        let case = Case::new(size(outputs, inputs, block), TOKENS);
        let products = case.products(processor, 0..TOKENS);
        for (index, product) in products.iter().enumerate() {
            let defined = case.defined(index / outputs, index % outputs);
            let error = (f64::from(*product) - defined).abs();
            // Sums of some blocks in 32 bits.
            assert!(
                error < 1e-4 * (1.0 + defined.abs()),
                "{product} is {defined}"
            );
        }
    }

    #[test]
    fn a_token_is_computed_alike_in_any_company() {
        let Some(processor) = X64V4xToken::summon() else {
            return;
        };
        let (outputs, inputs, block) = (48, 192, 64);
        let case = Case::new(size(outputs, inputs, block), TOKENS);
        let bits = |products: &[f32]| -> Vec<u32> {
            products.iter().map(|product| product.to_bits()).collect()
        };
        let together = bits(&case.products(processor, 0..TOKENS));
        for count in 1..TOKENS {
            for start in 0..=TOKENS - count {
                let some = bits(&case.products(processor, start..start + count));
                assert_eq!(some, together[start * outputs..(start + count) * outputs]);
            }
        }
    }

    #[test]
    fn extremes_do_not_overflow() {
        let Some(processor) = X64V4xToken::summon() else {
            return;
        };
        let size = size(3, 512, 256);
        for (weight, zero_point, input) in
            [(255, 0, 5.0), (0, 255, 5.0), (255, 0, -5.0), (0, 255, -5.0)]
        {
            let mut case = Case::new(size, 2);
            case.weights.fill(weight);
            case.zero_points.fill(zero_point);
            case.rows.fill(input);
            for (index, product) in case.products(processor, 0..2).iter().enumerate() {
                let defined = case.defined(index / 3, index % 3);
                let error = (f64::from(*product) - defined).abs();
                assert!(error <= 1e-6 * defined.abs(), "{product} is {defined}");
            }
        }
    }

    #[test]
    fn what_is_not_finite_is_told_by_all_products_of_its_token() {
        let Some(processor) = X64V4xToken::summon() else {
            return;
        };
        let size = size(16, 64, 32);
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for place in 0..size.inputs {
                let mut case = Case::new(size, 2);
                case.rows[place] = wrong;
                let products = case.products(processor, 0..2);
                let (first, second) = products.split_at(size.outputs);
                assert!(
                    first.iter().all(|product| product.is_nan()),
                    "{wrong} at {place}"
                );
                assert!(second.iter().all(|product| product.is_finite()));
            }
        }
    }

    #[test]
    fn what_is_nearly_nothing_gives_nearly_nothing() {
        let Some(processor) = X64V4xToken::summon() else {
            return;
        };
        let mut case = Case::new(size(16, 64, 32), 1);
        for small in [f32::MIN_POSITIVE, 1e-40, 1e-30, 1e-29] {
            case.rows.fill(small);
            let products = case.products(processor, 0..1);
            assert!(
                products.iter().all(|product| product.abs() < 1e-24),
                "{small:e}"
            );
        }
    }

    #[test]
    fn zeros_give_zeros() {
        let Some(processor) = X64V4xToken::summon() else {
            return;
        };
        let mut case = Case::new(size(16, 64, 32), 3);
        case.rows.fill(0.0);
        assert!(
            case.products(processor, 0..3)
                .iter()
                .all(|product| *product == 0.0)
        );
    }
}
