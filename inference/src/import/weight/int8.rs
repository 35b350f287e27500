//! 8-bit blocks.
//!
//! A file's own blocks have few levels. Widening each level to a whole number of 8-bit steps keeps nearly all of their
//! values exact, where measuring the values anew would round every one of them. Layers take wider blocks all the same:
//! a run reads every scale, and half as many of them make it faster (`docs/performance.md`).

use super::SMALLEST_SCALE;
use crate::import::block::Levels;

/// The zero point that the runtime assumes when it is given none.
pub(crate) const DEFAULT_ZERO_POINT: u8 = 128;
const LARGEST: f32 = 255.0;

/// 8-bit blocks: `value = (quantized - zero_point) * scale`.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Int8Blocks {
    /// One byte a value, row by row.
    pub(crate) values: Vec<u8>,
    /// One scale a block, row by row.
    pub(crate) scales: Vec<f32>,
    /// One zero point a block, row by row.
    pub(crate) zero_points: Vec<u8>,
}

impl Int8Blocks {
    /// Adds a block of the file.
    pub(super) fn push(&mut self, levels: &Levels) {
        if !self.push_widened(levels) {
            self.push_measured(&levels.to_floats());
        }
    }

    /// Adds a block whose levels each become a whole number of steps, or tells that 8 bits cannot hold it.
    ///
    /// The more steps a level has, the finer is what the zero point can express; of the possible numbers, the one
    /// is taken at which the zero point needs the least rounding.
    fn push_widened(&mut self, levels: &Levels) -> bool {
        let most_steps = u8::MAX / levels.highest;
        let zero_of = |steps: u8| -levels.minimum / levels.scale * f32::from(steps);
        let error_of =
            |steps: u8| (zero_of(steps) - zero_of(steps).round()).abs() / f32::from(steps);
        let possible = (1..=most_steps)
            .rev()
            .filter(|&steps| (0.0..=LARGEST).contains(&zero_of(steps)));
        let Some(steps) =
            possible.min_by(|&left, &right| error_of(left).total_cmp(&error_of(right)))
        else {
            return false;
        };
        self.values
            .extend(levels.values.iter().map(|value| value * steps));
        self.scales.push(levels.scale / f32::from(steps));
        self.zero_points.push(to_byte(zero_of(steps)));
        true
    }

    /// Adds a block of any values, as fine as their range allows.
    pub(super) fn push_measured(&mut self, values: &[f32]) {
        let lowest = values.iter().copied().fold(0.0, f32::min);
        let highest = values.iter().copied().fold(0.0, f32::max);
        let scale = ((highest - lowest) / LARGEST).max(SMALLEST_SCALE);
        let zero_point = if lowest < highest {
            to_byte(-lowest / scale)
        } else {
            DEFAULT_ZERO_POINT
        };
        self.values.extend(
            values
                .iter()
                .map(|value| to_byte(value / scale + f32::from(zero_point))),
        );
        self.scales.push(scale);
        self.zero_points.push(zero_point);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the value is clamped to 0..=255 first"
)]
fn to_byte(value: f32) -> u8 {
    value.round_ties_even().clamp(0.0, LARGEST) as u8
}
