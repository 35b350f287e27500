//! Decodes GGUF's tensor encodings to floats.
//!
//! Each block of 32 values has a scale (and, in the `_1` encodings, a minimum) as a 16 bit float, and then the values.
//! Four-bit values are packed so that the low halves of the 16 bytes are the first 16 values, the high halves the rest.
//! The `_K` encodings have blocks of 256 values.

mod k_quants;

use half::{bf16, f16};

use super::gguf::TensorType;

/// Values that share a scale, as the file holds them: `value = level * scale + minimum`.
#[derive(Debug)]
pub(crate) struct Levels {
    /// The levels, from 0.
    pub(crate) values: Vec<u8>,
    /// The highest level that there is.
    pub(crate) highest: u8,
    /// The distance of two levels; negative in some files.
    pub(crate) scale: f32,
    /// The value of level 0.
    pub(crate) minimum: f32,
}

impl Levels {
    pub(crate) fn to_floats(&self) -> Vec<f32> {
        self.values
            .iter()
            .map(|&value| f32::from(value) * self.scale + self.minimum)
            .collect()
    }
}

/// Decodes whole blocks. `bytes` must be a whole number of blocks, which the reader has checked.
pub(crate) fn dequantize(kind: TensorType, bytes: &[u8]) -> Vec<f32> {
    let blocks = bytes.chunks_exact(kind.block_bytes());
    let mut values = Vec::with_capacity(blocks.len() * kind.block_values());
    for block in blocks {
        match kind {
            TensorType::F32 => {
                values.push(f32::from_le_bytes([block[0], block[1], block[2], block[3]]));
            }
            TensorType::F16 => values.push(half_at(block, 0)),
            TensorType::Bf16 => values.push(bf16::from_le_bytes([block[0], block[1]]).to_f32()),
            _ => values.extend(groups(kind, block).iter().flat_map(Levels::to_floats)),
        }
    }
    values
}

/// The groups of one block, in order. Plain floats have none.
pub(crate) fn groups(kind: TensorType, block: &[u8]) -> Vec<Levels> {
    match kind {
        TensorType::F32 | TensorType::F16 | TensorType::Bf16 => Vec::new(),
        TensorType::Q4_0 => vec![centred(block, nibbles(&block[2..]), 15)],
        TensorType::Q4_1 => vec![with_minimum(block, nibbles(&block[4..]), 15)],
        TensorType::Q5_0 => vec![centred(block, five_bits(&block[2..]), 31)],
        TensorType::Q5_1 => vec![with_minimum(block, five_bits(&block[4..]), 31)],
        // Signed bytes, shifted to count from 0.
        TensorType::Q8_0 => vec![centred(
            block,
            block[2..].iter().map(|value| value ^ 0x80),
            255,
        )],
        TensorType::Q2K => k_quants::q2(block),
        TensorType::Q3K => k_quants::q3(block),
        TensorType::Q4K => k_quants::q4(block),
        TensorType::Q5K => k_quants::q5(block),
        TensorType::Q6K => k_quants::q6(block),
    }
}

/// The middle level is zero, which is exact in floats, too.
fn centred(block: &[u8], values: impl Iterator<Item = u8>, highest: u8) -> Levels {
    let scale = half_at(block, 0);
    Levels {
        values: values.collect(),
        highest,
        scale,
        minimum: -scale * f32::from(highest / 2 + 1),
    }
}

fn with_minimum(block: &[u8], values: impl Iterator<Item = u8>, highest: u8) -> Levels {
    Levels {
        values: values.collect(),
        highest,
        scale: half_at(block, 0),
        minimum: half_at(block, 2),
    }
}

fn half_at(block: &[u8], offset: usize) -> f32 {
    f16::from_le_bytes([block[offset], block[offset + 1]]).to_f32()
}

fn nibbles(packed: &[u8]) -> impl Iterator<Item = u8> {
    packed
        .iter()
        .map(|byte| byte & 15)
        .chain(packed.iter().map(|byte| byte >> 4))
}

/// Four bytes of fifth bits, then 16 bytes of nibbles.
fn five_bits(packed: &[u8]) -> impl Iterator<Item = u8> {
    let high = u32::from_le_bytes([packed[0], packed[1], packed[2], packed[3]]);
    let fifth_bit = move |index: usize| if high >> index & 1 == 1 { 16 } else { 0 };
    nibbles(&packed[4..])
        .enumerate()
        .map(move |(index, low)| low | fifth_bit(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn half_bytes(value: f32) -> [u8; 2] {
        f16::from_f32(value).to_le_bytes()
    }

    #[test]
    fn q4_0_is_centred_on_eight() {
        let mut block = half_bytes(0.5).to_vec();
        block.extend([0x80; 16]);
        let values = dequantize(TensorType::Q4_0, &block);
        assert_eq!(values[..16], [-4.0; 16]);
        assert_eq!(values[16..], [0.0; 16]);
    }

    #[test]
    fn q4_1_adds_its_minimum() {
        let mut block = half_bytes(0.5).to_vec();
        block.extend(half_bytes(-1.0));
        block.extend((0_u8..16).map(|index| index | (15 - index) << 4));
        let values = dequantize(TensorType::Q4_1, &block);
        assert_eq!(values[..3], [-1.0, -0.5, 0.0]);
        assert_eq!(values[16..19], [6.5, 6.0, 5.5]);
    }

    #[test]
    fn q5_takes_its_fifth_bits_from_the_mask() {
        let mut block = half_bytes(1.0).to_vec();
        block.extend(0x8000_0001_u32.to_le_bytes());
        block.extend([0x21; 16]);
        let values = dequantize(TensorType::Q5_0, &block);
        assert_eq!(
            (values[0], values[1], values[16], values[31]),
            (1.0, -15.0, -14.0, 2.0)
        );

        block.splice(2..2, half_bytes(100.0));
        let values = dequantize(TensorType::Q5_1, &block);
        assert_eq!(
            (values[0], values[1], values[16], values[31]),
            (117.0, 101.0, 102.0, 118.0)
        );
    }

    #[test]
    fn q8_0_is_signed() {
        let mut block = half_bytes(2.0).to_vec();
        block.extend((0_u8..32).map(|index| index.wrapping_sub(16)));
        let values = dequantize(TensorType::Q8_0, &block);
        assert_eq!((values[0], values[16], values[31]), (-32.0, 0.0, 30.0));
    }

    #[test]
    fn plain_floats_are_kept() {
        assert_eq!(dequantize(TensorType::F32, &1.25_f32.to_le_bytes()), [1.25]);
        assert_eq!(dequantize(TensorType::F16, &half_bytes(1.25)), [1.25]);
        assert_eq!(
            dequantize(TensorType::Bf16, &bf16::from_f32(1.25).to_le_bytes()),
            [1.25]
        );
    }
}
