//! A weight matrix in the forms that the graph uses: floats, 8-bit blocks, and 4-bit blocks.

mod int4;
mod int8;

pub(crate) use int4::Int4Blocks;
pub(crate) use int8::{DEFAULT_ZERO_POINT, Int8Blocks};

use super::{
    block,
    gguf::{TensorInfo, TensorType},
};

/// Values that share one scale, along a row, as files have them. Rows must be a multiple of it.
pub(crate) const BLOCK_SIZE: usize = 32;
/// The same for the rows of 8-bit layers that it divides.
const WIDE_BLOCK_SIZE: usize = 64;
/// Keeps blocks of zeros from dividing by zero.
const SMALLEST_SCALE: f32 = 1e-8;

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

    /// The widest 8-bit block that divides the rows.
    pub(crate) fn widest_block(&self) -> usize {
        if self.columns.is_multiple_of(WIDE_BLOCK_SIZE) {
            WIDE_BLOCK_SIZE
        } else {
            BLOCK_SIZE
        }
    }

    /// The matrix as 8-bit blocks of `block_size` values, which must divide its rows.
    pub(crate) fn to_int8(&self, block_size: usize) -> Int8Blocks {
        let mut blocks = Int8Blocks::default();
        if self.kind.group_values() == block_size {
            for bytes in self.bytes.chunks_exact(self.kind.block_bytes()) {
                for levels in block::groups(self.kind, bytes) {
                    blocks.push(&levels);
                }
            }
        } else {
            for values in self.to_floats().chunks_exact(block_size) {
                blocks.push_measured(values);
            }
        }
        blocks
    }

    /// The matrix as 4-bit blocks of [`BLOCK_SIZE`] values, which must divide its rows.
    pub(crate) fn to_int4(&self) -> Int4Blocks {
        let mut blocks = Int4Blocks::new(self.columns / BLOCK_SIZE);
        if self.kind == TensorType::Q4_0 {
            for bytes in self.bytes.chunks_exact(self.kind.block_bytes()) {
                for levels in block::groups(self.kind, bytes) {
                    blocks.push_levels(&levels);
                }
            }
        } else {
            for values in self.to_floats().chunks_exact(BLOCK_SIZE) {
                blocks.push_measured(values);
            }
        }
        blocks
    }
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

    fn restored(blocks: &Int8Blocks) -> Vec<f32> {
        let restore = |(index, value): (usize, &u8)| {
            let block = index / BLOCK_SIZE;
            (f32::from(*value) - f32::from(blocks.zero_points[block])) * blocks.scales[block]
        };
        blocks.values.iter().enumerate().map(restore).collect()
    }

    fn quantized(kind: TensorType, bytes: Vec<u8>) -> Weight {
        let info = TensorInfo {
            name: "w".to_owned(),
            dimensions: vec![1, bytes.len() / kind.block_bytes() * kind.block_values()],
            kind,
            file_offset: 0,
            byte_length: bytes.len() as u64,
        };
        Weight::new(&info, bytes)
    }

    fn half(value: f32) -> [u8; 2] {
        half::f16::from_f32(value).to_le_bytes()
    }

    #[test]
    fn measuring_errs_by_half_a_step_at_most() {
        let values: Vec<f32> = (0_u8..64)
            .map(|index| (f32::from(index) * 0.7).sin() * 3.0 + 1.0)
            .collect();
        let blocks = floats(2, 32, &values).to_int8(BLOCK_SIZE);
        for (index, (value, restored)) in values.iter().zip(restored(&blocks)).enumerate() {
            let scale = blocks.scales[index / BLOCK_SIZE];
            assert!(
                (restored - value).abs() <= scale * 1.01,
                "{value} became {restored}"
            );
        }
    }

    #[test]
    fn layers_have_the_widest_block_that_divides_their_rows() {
        let values: Vec<f32> = (0_u8..128).map(|index| f32::from(index).sin()).collect();
        let wide = floats(2, 64, &values);
        assert_eq!(wide.widest_block(), 64);
        let blocks = wide.to_int8(64);
        assert_eq!((blocks.scales.len(), blocks.zero_points.len()), (2, 2));
        assert_eq!(floats(1, 96, &values[..96]).widest_block(), 32);
    }

    #[test]
    fn a_block_of_zeros_stays_zero() {
        let blocks = floats(1, 32, &[0.0; 32]).to_int8(BLOCK_SIZE);
        assert_eq!(restored(&blocks), [0.0; 32]);
        let mut constant = half(0.0).to_vec();
        constant.extend(half(0.5));
        constant.extend([0x37; 16]);
        let weight = quantized(TensorType::Q4_1, constant);
        assert_eq!(
            restored(&weight.to_int8(BLOCK_SIZE)),
            weight.to_floats(),
            "a scale of zero leaves the minimum"
        );
    }

    #[test]
    fn centred_blocks_of_the_file_are_kept_exactly() {
        for (kind, scale) in [
            (TensorType::Q4_0, -0.25),
            (TensorType::Q5_0, 0.5),
            (TensorType::Q8_0, 0.125),
        ] {
            let mut bytes = half(scale).to_vec();
            bytes.extend(
                (2..kind.block_bytes())
                    .map(|index| u8::try_from(index * 37 % 256).expect("a byte")),
            );
            let weight = quantized(kind, bytes);
            for (value, restored) in weight
                .to_floats()
                .iter()
                .zip(restored(&weight.to_int8(BLOCK_SIZE)))
            {
                assert!(
                    (value - restored).abs() <= value.abs() * 1e-6,
                    "{kind:?}: {value} became {restored}"
                );
            }
        }
    }

    #[test]
    fn blocks_with_a_minimum_are_closer_than_their_own_rounding() {
        for minimum in [-1.3, -0.71, -0.0313, 0.05, -6.0] {
            let mut bytes = half(0.1).to_vec();
            bytes.extend(half(minimum));
            bytes.extend((0_u8..16).map(|index| index | index << 4));
            let weight = quantized(TensorType::Q4_1, bytes);
            for (value, restored) in weight
                .to_floats()
                .iter()
                .zip(restored(&weight.to_int8(BLOCK_SIZE)))
            {
                assert!(
                    (value - restored).abs() < 0.1 / 8.0,
                    "minimum {minimum}: {value} became {restored}"
                );
            }
        }
    }

    #[test]
    fn eight_bit_blocks_of_the_file_keep_the_default_zero_point() {
        let mut bytes = half(0.5).to_vec();
        bytes.extend((0_u8..32).map(|index| index.wrapping_sub(3)));
        let blocks = quantized(TensorType::Q8_0, bytes).to_int8(BLOCK_SIZE);
        assert_eq!(blocks.scales, [0.5]);
        assert_eq!(blocks.zero_points, [DEFAULT_ZERO_POINT]);
        assert_eq!(blocks.values[..5], [125, 126, 127, 128, 129]);
    }
}
