//! 4-bit blocks.
//!
//! Sixteen levels are few, so where they lie is searched for: the scale and the zero point whose rounding errs least,
//! in the sum of squares. Blocks that a file holds in this very form are kept as they are.

use super::SMALLEST_SCALE;
use crate::import::block::Levels;

const LARGEST: f32 = 15.0;
/// How much of a block's range the levels may span. Giving up its ends can make everything between them finer.
const SPANS: [f32; 6] = [1.0, 0.95, 0.9, 0.85, 0.8, 0.75];

/// 4-bit blocks: `value = (quantized - zero_point) * scale`.
#[derive(Debug, PartialEq)]
pub(crate) struct Int4Blocks {
    /// Two values a byte, the first in its lower half, row by row.
    pub(crate) values: Vec<u8>,
    /// One scale a block, row by row.
    pub(crate) scales: Vec<f32>,
    /// Two zero points a byte, as the values are; each row begins a byte.
    pub(crate) zero_points: Vec<u8>,
    blocks_per_row: usize,
}

/// One way to lay the levels.
#[derive(Clone, Copy)]
struct Grid {
    scale: f32,
    zero_point: f32,
}

impl Grid {
    fn level(self, value: f32) -> f32 {
        (value / self.scale + self.zero_point)
            .round_ties_even()
            .clamp(0.0, LARGEST)
    }

    fn error(self, values: &[f32]) -> f32 {
        let error = |value: &f32| value - (self.level(*value) - self.zero_point) * self.scale;
        values.iter().map(|value| error(value).powi(2)).sum()
    }
}

impl Int4Blocks {
    pub(super) fn new(blocks_per_row: usize) -> Self {
        Self {
            values: Vec::new(),
            scales: Vec::new(),
            zero_points: Vec::new(),
            blocks_per_row,
        }
    }

    /// Adds a block of the file whose levels are 0 to 15, and of which the middle one is zero.
    pub(super) fn push_levels(&mut self, levels: &Levels) {
        self.push(levels.values.iter().copied(), levels.scale, 8);
    }

    /// Adds a block of any values.
    pub(super) fn push_measured(&mut self, values: &[f32]) {
        let grid = best_grid(values);
        let levels = values.iter().map(|&value| to_level(grid.level(value)));
        self.push(levels, grid.scale, to_level(grid.zero_point));
    }

    fn push(&mut self, levels: impl Iterator<Item = u8>, scale: f32, zero_point: u8) {
        let levels: Vec<u8> = levels.collect();
        self.values
            .extend(levels.chunks_exact(2).map(|pair| pair[0] | pair[1] << 4));
        let place_in_row = self.scales.len() % self.blocks_per_row;
        match self.zero_points.last_mut() {
            Some(last) if place_in_row % 2 == 1 => *last |= zero_point << 4,
            _ => self.zero_points.push(zero_point),
        }
        self.scales.push(scale);
    }
}

fn best_grid(values: &[f32]) -> Grid {
    let lowest = values.iter().copied().fold(0.0, f32::min);
    let highest = values.iter().copied().fold(0.0, f32::max);
    let range = highest - lowest;
    if range <= SMALLEST_SCALE {
        return Grid {
            scale: SMALLEST_SCALE,
            zero_point: 8.0,
        };
    }
    let natural = (-lowest / range * LARGEST).round();
    let candidates = [natural - 1.0, natural, natural + 1.0]
        .into_iter()
        .filter(|zero_point| (0.0..=LARGEST).contains(zero_point))
        .flat_map(|zero_point| {
            // As wide as both ends need, or all of one end where the zero point leaves the other no level.
            let needed = f32::max(
                highest / (LARGEST - zero_point).max(0.5),
                -lowest / zero_point.max(0.5),
            );
            SPANS.map(|span| Grid {
                scale: (needed * span).max(SMALLEST_SCALE),
                zero_point,
            })
        });
    let measured = candidates.map(|grid| (grid, grid.error(values)));
    let best = measured.min_by(|(_, left), (_, right)| left.total_cmp(right));
    best.expect("the natural zero point is always among the candidates")
        .0
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "levels and zero points are whole numbers from 0 to 15"
)]
fn to_level(level: f32) -> u8 {
    level as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restored(blocks: &Int4Blocks) -> Vec<f32> {
        let nibble =
            |bytes: &[u8], index: usize| f32::from(bytes[index / 2] >> (index % 2 * 4) & 15);
        let per_row = blocks.blocks_per_row;
        (0..blocks.values.len() * 2)
            .map(|index| {
                let block = index / 32;
                let zero_place = block / per_row * per_row.next_multiple_of(2) + block % per_row;
                let zero_point = nibble(&blocks.zero_points, zero_place);
                (nibble(&blocks.values, index) - zero_point) * blocks.scales[block]
            })
            .collect()
    }

    #[test]
    fn values_on_a_grid_of_sixteen_levels_are_kept() {
        let values: Vec<f32> = (0_u8..96)
            .map(|index| f32::from(index % 16) - 5.0)
            .collect();
        let mut blocks = Int4Blocks::new(3);
        for block in values.chunks_exact(32) {
            blocks.push_measured(block);
        }
        assert_eq!(blocks.zero_points, [0x55, 0x05]);
        for (value, restored) in values.iter().zip(restored(&blocks)) {
            assert!((value - restored).abs() < 1e-5, "{value} became {restored}");
        }
    }

    #[test]
    fn each_row_begins_a_byte_of_zero_points() {
        let mut blocks = Int4Blocks::new(1);
        for offset in [0.0, 15.0] {
            let values: Vec<f32> = (0_u8..32)
                .map(|index| f32::from(index % 16) - offset)
                .collect();
            blocks.push_measured(&values);
        }
        assert_eq!(blocks.zero_points, [0, 15]);
    }

    #[test]
    fn the_search_errs_less_than_the_plain_range() {
        let values: Vec<f32> = (0_u8..32)
            .map(|index| (f32::from(index) * 1.7).sin() * if index == 7 { 3.0 } else { 1.0 })
            .collect();
        let (lowest, highest) = values.iter().fold((0.0_f32, 0.0_f32), |(low, high), &v| {
            (low.min(v), high.max(v))
        });
        let scale = (highest - lowest) / LARGEST;
        let plain = Grid {
            scale,
            zero_point: (-lowest / scale).round(),
        };
        assert!(best_grid(&values).error(&values) <= plain.error(&values));
    }

    #[test]
    fn zeros_stay_zeros() {
        let mut blocks = Int4Blocks::new(1);
        blocks.push_measured(&[0.0; 32]);
        assert_eq!(restored(&blocks), [0.0; 32]);
    }
}
