//! The "K" encodings: blocks of 256 values, cut into groups of 16 or 32 whose scales are small numbers themselves.

use super::{Levels, half_at};

/// Two halves of 128 values; four times 32 of them share 32 bytes, two bits each.
const HALF: usize = 128;

/// `Q2_K`: 16 bytes of scales and minimums, 64 of levels, then the factor of either.
pub(super) fn q2(block: &[u8]) -> Vec<Levels> {
    let (scales, packed) = (&block[..16], &block[16..80]);
    let (factor, minimum_factor) = (half_at(block, 80), half_at(block, 82));
    let group = |(index, &scale): (usize, &u8)| Levels {
        values: two_bits(packed, index * 16).collect(),
        highest: 3,
        scale: factor * f32::from(scale & 15),
        minimum: -minimum_factor * f32::from(scale >> 4),
    };
    scales.iter().enumerate().map(group).collect()
}

/// `Q3_K`: 32 bytes of third bits, 64 of the lower two, 12 of scales, then their factor.
pub(super) fn q3(block: &[u8]) -> Vec<Levels> {
    let (third, packed, scales) = (&block[..32], &block[32..96], &block[96..108]);
    let factor = half_at(block, 108);
    let group = |index: usize| {
        let start = index * 16;
        let third_bit = |place: usize| (third[place % 32] >> (place / 32) & 1) << 2;
        let values = two_bits(packed, start).zip(start..);
        let low = scales[index % 8] >> (index / 8 * 4) & 15;
        let high = scales[8 + index % 4] >> (index / 4 * 2) & 3;
        let scale = factor * (f32::from(low | high << 4) - 32.0);
        Levels {
            values: values.map(|(low, place)| low | third_bit(place)).collect(),
            highest: 7,
            scale,
            minimum: -4.0 * scale,
        }
    };
    (0..16).map(group).collect()
}

/// `Q4_K`: two factors, 12 bytes of scales and minimums, 128 of levels.
pub(super) fn q4(block: &[u8]) -> Vec<Levels> {
    with_minimums(block, &block[16..144], 15, |_, _| 0)
}

/// `Q5_K`: as `Q4_K`, with 32 bytes of fifth bits before the levels.
pub(super) fn q5(block: &[u8]) -> Vec<Levels> {
    let fifth = &block[16..48];
    let fifth_bit = |group: usize, place: usize| (fifth[place] >> group & 1) << 4;
    with_minimums(block, &block[48..176], 31, fifth_bit)
}

/// `Q6_K`: 128 bytes of lower halves, 64 of the upper two bits, 16 scales, then their factor.
pub(super) fn q6(block: &[u8]) -> Vec<Levels> {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let factor = half_at(block, 208);
    let value = |place: usize| {
        let (half, quarter, column) = (place / HALF, place % HALF / 32, place % 32);
        let nibble = low[half * 64 + quarter % 2 * 32 + column] >> (quarter / 2 * 4) & 15;
        nibble | (high[half * 32 + column] >> (quarter * 2) & 3) << 4
    };
    let group = |(index, &scale): (usize, &u8)| {
        let scale = factor * f32::from(scale.cast_signed());
        Levels {
            values: (index * 16..index * 16 + 16).map(value).collect(),
            highest: 63,
            scale,
            minimum: -32.0 * scale,
        }
    };
    scales.iter().enumerate().map(group).collect()
}

/// Sixteen two-bit values from the place `start` on.
fn two_bits(packed: &[u8], start: usize) -> impl Iterator<Item = u8> {
    (start..start + 16).map(|place| {
        let (half, quarter, column) = (place / HALF, place % HALF / 32, place % 32);
        packed[half * 32 + column] >> (quarter * 2) & 3
    })
}

/// Eight groups of 32 nibbles, two of them in the same 32 bytes; `upper` are the bits above a nibble.
fn with_minimums(
    block: &[u8],
    packed: &[u8],
    highest: u8,
    upper: impl Fn(usize, usize) -> u8,
) -> Vec<Levels> {
    let (factor, minimum_factor) = (half_at(block, 0), half_at(block, 2));
    let group = |index: usize| {
        let (scale, minimum) = scale_and_minimum(&block[4..16], index);
        let nibble = |place: usize| packed[index / 2 * 32 + place] >> (index % 2 * 4) & 15;
        Levels {
            values: (0..32)
                .map(|place| nibble(place) | upper(index, place))
                .collect(),
            highest,
            scale: factor * f32::from(scale),
            minimum: -minimum_factor * f32::from(minimum),
        }
    };
    (0..8).map(group).collect()
}

/// Six bits each: the first four pairs lie in bytes of their own, whose upper two bits belong to the last four.
fn scale_and_minimum(packed: &[u8], index: usize) -> (u8, u8) {
    if index < 4 {
        return (packed[index] & 63, packed[index + 4] & 63);
    }
    let shared = packed[index + 4];
    (
        shared & 15 | packed[index - 4] >> 6 << 4,
        shared >> 4 | packed[index] >> 6 << 4,
    )
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use rstest::rstest;

    use crate::import::{block::dequantize, gguf::TensorType};

    /// Pseudo-random bytes, as the script of the reference makes them, with the factors at `floats`.
    fn block(size: usize, floats: &[usize]) -> Vec<u8> {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            u8::try_from(state >> 56).expect("8 bits are left")
        };
        let mut bytes: Vec<u8> = (0..size).map(|_| next()).collect();
        for (factor, &place) in [0.0625, 0.125].into_iter().zip(floats) {
            bytes[place..place + 2].copy_from_slice(&half::f16::from_f32(factor).to_le_bytes());
        }
        bytes
    }

    #[rstest]
    #[case(TensorType::Q2K, "Q2_K", &[80, 82])]
    #[case(TensorType::Q3K, "Q3_K", &[108])]
    #[case(TensorType::Q4K, "Q4_K", &[0, 2])]
    #[case(TensorType::Q5K, "Q5_K", &[0, 2])]
    #[case(TensorType::Q6K, "Q6_K", &[208])]
    fn blocks_decode_as_in_the_reference(
        #[case] kind: TensorType,
        #[case] name: &str,
        #[case] floats: &[usize],
    ) {
        let reference: HashMap<String, Vec<f32>> =
            serde_json::from_str(include_str!("../../../tests/reference/k_quants.json"))
                .expect("a valid file");
        let values = dequantize(kind, &block(kind.block_bytes(), floats));
        assert_eq!(values.len(), 256);
        let chosen: Vec<f32> = values.into_iter().step_by(3).collect();
        let pairs = chosen.iter().zip(&reference[name]);
        for (place, (found, expected)) in pairs.enumerate() {
            let error = (found - expected).abs();
            assert!(
                error <= expected.abs() * 1e-6,
                "{place}: {found}, not {expected}"
            );
        }
    }
}
