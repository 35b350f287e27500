//! A weight matrix in the two forms that the graph uses: floats, and symmetric 8-bit blocks.

use super::{
    block,
    gguf::{TensorInfo, TensorType},
};

/// Values that share one scale, along a row.
pub(crate) const BLOCK_SIZE: usize = 32;
/// What stands for zero in an unsigned 8-bit block.
const ZERO_POINT: i16 = 128;
/// Keeps blocks of zeros from dividing by zero.
const SMALLEST_SCALE: f32 = 1e-8;

/// 8-bit blocks: `value = (quantized - 128) * scale`.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Int8Blocks {
    /// One byte a value, row by row.
    pub(crate) values: Vec<u8>,
    /// One scale a block, row by row.
    pub(crate) scales: Vec<f32>,
}

/// Rows of equal length, as the file holds them.
#[derive(Debug)]
pub(crate) struct Weight {
    kind: TensorType,
    rows: usize,
    columns: usize,
    bytes: Vec<u8>,
}

impl Weight {
    /// Takes a matrix's bytes; `info` is where they come from.
    pub(crate) fn new(info: &TensorInfo, bytes: Vec<u8>) -> Self {
        let columns = info.dimensions.last().copied().unwrap_or(1);
        let rows = info.dimensions.iter().rev().skip(1).product();
        Self {
            kind: info.kind,
            rows,
            columns,
            bytes,
        }
    }

    /// The number of rows, which is the number of outputs of a linear layer.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The length of a row, which is the number of inputs of a linear layer.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Puts the rows of each attention head into the order that half-split rotary embeddings need.
    ///
    /// GGUF interleaves the two halves of every head (`0, d/2, 1, d/2 + 1, …`), for another form of the rotation.
    #[must_use]
    pub(crate) fn with_deinterleaved_heads(mut self, head_size: usize) -> Self {
        let row_bytes = self.bytes.len() / self.rows.max(1);
        let mut reordered = Vec::with_capacity(self.bytes.len());
        for head in self.bytes.chunks_exact(row_bytes * head_size) {
            for half in 0..2 {
                for pair in head.chunks_exact(row_bytes * 2) {
                    reordered.extend_from_slice(&pair[half * row_bytes..(half + 1) * row_bytes]);
                }
            }
        }
        self.bytes = reordered;
        self
    }

    /// All values, row by row.
    pub(crate) fn to_floats(&self) -> Vec<f32> {
        block::dequantize(self.kind, &self.bytes)
    }

    /// The matrix as 8-bit blocks. A file's own 8-bit blocks are kept exactly.
    pub(crate) fn to_int8(&self) -> Int8Blocks {
        let mut blocks = Int8Blocks {
            values: Vec::with_capacity(self.rows * self.columns),
            scales: Vec::with_capacity(self.rows * self.columns / BLOCK_SIZE),
        };
        if self.kind == TensorType::Q8_0 {
            for block in self.bytes.chunks_exact(self.kind.block_bytes()) {
                let (scale, values) = block::q8_0_parts(block);
                blocks.scales.push(scale);
                blocks
                    .values
                    .extend(values.map(|value| value.cast_unsigned().wrapping_add(128)));
            }
        } else {
            for block in self.to_floats().chunks_exact(BLOCK_SIZE) {
                quantize(block, &mut blocks);
            }
        }
        blocks
    }
}

fn quantize(block: &[f32], into: &mut Int8Blocks) {
    let largest = block
        .iter()
        .fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let scale = (largest / 127.0).max(SMALLEST_SCALE);
    into.scales.push(scale);
    into.values
        .extend(block.iter().map(|value| to_byte(value / scale)));
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the value is clamped to -127..=127 first"
)]
fn to_byte(value: f32) -> u8 {
    let rounded = value.round_ties_even().clamp(-127.0, 127.0) as i16;
    u8::try_from(rounded + ZERO_POINT).expect("from 1 to 255")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(rows: usize, columns: usize, values: &[f32]) -> Weight {
        let info = TensorInfo {
            name: "w".to_owned(),
            dimensions: vec![rows, columns],
            kind: TensorType::F32,
            file_offset: 0,
            byte_length: 0,
        };
        Weight::new(
            &info,
            values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
        )
    }

    #[test]
    fn interleaved_heads_are_split_into_halves() {
        let weight = floats(8, 1, &[0.0, 2.0, 1.0, 3.0, 10.0, 12.0, 11.0, 13.0]);
        let values = weight.with_deinterleaved_heads(4).to_floats();
        assert_eq!(values, [0.0, 1.0, 2.0, 3.0, 10.0, 11.0, 12.0, 13.0]);
    }

    #[test]
    fn quantizing_errs_by_half_a_step_at_most() {
        let values: Vec<f32> = (0_u8..64)
            .map(|index| (f32::from(index) * 0.7).sin() * 3.0)
            .collect();
        let blocks = floats(2, 32, &values).to_int8();
        for (index, value) in values.iter().enumerate() {
            let scale = blocks.scales[index / BLOCK_SIZE];
            let restored = (f32::from(blocks.values[index]) - 128.0) * scale;
            assert!(
                (restored - value).abs() <= scale * 0.501,
                "{value} became {restored}"
            );
        }
    }

    #[test]
    fn a_block_of_zeros_stays_zero() {
        let blocks = floats(1, 32, &[0.0; 32]).to_int8();
        assert_eq!(blocks.values, [128; 32]);
        assert_eq!(blocks.scales, [SMALLEST_SCALE]);
    }

    #[test]
    fn eight_bit_blocks_of_the_file_are_kept() {
        let info = TensorInfo {
            name: "w".to_owned(),
            dimensions: vec![1, 32],
            kind: TensorType::Q8_0,
            file_offset: 0,
            byte_length: 34,
        };
        let mut bytes = half::f16::from_f32(0.5).to_le_bytes().to_vec();
        bytes.extend((0_u8..32).map(|index| index.wrapping_sub(3)));
        let blocks = Weight::new(&info, bytes).to_int8();
        assert_eq!(blocks.scales, [0.5]);
        assert_eq!(blocks.values[..5], [125, 126, 127, 128, 129]);
    }
}
