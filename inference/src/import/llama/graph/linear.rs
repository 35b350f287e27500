//! Products with weights, in floats or in 8-bit blocks.

use std::io::{Read, Seek};

use super::{Builder, GraphError, to_i64};
use crate::{
    import::{
        onnx::{CONTRIB, STANDARD, Setting},
        weight::{DEFAULT_ZERO_POINT, Int8Blocks, Weight},
    },
    model_dir::Quantization,
};

/// Quantizes activations to 8 bits, too, so that the products are whole numbers: several times as fast.
const INT8_ACCURACY: i64 = 4;

/// A linear layer, or several over the same input, whose outputs are joined.
pub(super) struct Linear<'a> {
    pub(super) input: &'a str,
    pub(super) output: &'a str,
    /// The name of the constants.
    pub(super) name: &'a str,
    pub(super) weights: Vec<Weight>,
}

/// The names of a quantized weight's constants.
#[derive(Clone)]
pub(super) struct Int8Constants {
    /// Values that share one scale.
    pub(super) block_size: usize,
    pub(super) values: String,
    pub(super) scales: String,
    /// Absent when all are what the runtime assumes.
    pub(super) zero_points: Option<String>,
}

impl<R: Read + Seek> Builder<'_, R> {
    pub(super) fn linear(&mut self, linear: &Linear<'_>) -> Result<(), GraphError> {
        let rows = linear.weights.iter().map(Weight::rows).sum();
        let columns = linear.weights[0].columns();
        match self.quantization {
            Quantization::None => {
                let constant = format!("{}.weight", linear.name);
                let values: Vec<f32> = linear.weights.iter().flat_map(Weight::to_floats).collect();
                let transposed = (0..columns)
                    .flat_map(|column| values[column..].iter().step_by(columns).copied());
                self.writer
                    .floats(&constant, &[columns, rows], transposed)?;
                self.operator(
                    "MatMul",
                    STANDARD,
                    &[linear.input, &constant],
                    &[linear.output],
                    &[],
                );
            }
            Quantization::Int8 => {
                let block_size = linear.weights[0].widest_block();
                let shape = [rows, columns / block_size, block_size];
                let constants =
                    self.int8_constants(linear.name, &shape, block_size, &linear.weights)?;
                self.multiply_int8(linear.input, linear.output, &constants, [rows, columns]);
            }
        }
        Ok(())
    }

    /// Writes weights as 8-bit blocks, one below the other; `shape` is that of their values.
    pub(super) fn int8_constants(
        &mut self,
        name: &str,
        shape: &[usize],
        block_size: usize,
        weights: &[Weight],
    ) -> Result<Int8Constants, GraphError> {
        let blocks: Vec<Int8Blocks> = weights
            .iter()
            .map(|weight| weight.to_int8(block_size))
            .collect();
        let per_block = [shape[0], shape[1..].iter().product::<usize>() / block_size];
        let (values, scales) = (format!("{name}.q8"), format!("{name}.scales"));
        self.writer.bytes(
            &values,
            shape,
            blocks.iter().flat_map(|part| part.values.iter().copied()),
        )?;
        self.writer.floats(
            &scales,
            &per_block,
            blocks.iter().flat_map(|part| part.scales.iter().copied()),
        )?;
        let mut zero_points = blocks
            .iter()
            .flat_map(|part| part.zero_points.iter().copied());
        let zero_points = if zero_points
            .clone()
            .all(|zero_point| zero_point == DEFAULT_ZERO_POINT)
        {
            None
        } else {
            let name = format!("{name}.zero_points");
            self.writer.bytes(&name, &per_block, &mut zero_points)?;
            Some(name)
        };
        Ok(Int8Constants {
            block_size,
            values,
            scales,
            zero_points,
        })
    }

    pub(super) fn multiply_int8(
        &mut self,
        input: &str,
        output: &str,
        weight: &Int8Constants,
        [rows, columns]: [usize; 2],
    ) {
        let settings = [
            ("K", Setting::Int(to_i64(columns))),
            ("N", Setting::Int(to_i64(rows))),
            ("bits", Setting::Int(8)),
            ("block_size", Setting::Int(to_i64(weight.block_size))),
            ("accuracy_level", Setting::Int(INT8_ACCURACY)),
        ];
        let mut inputs = vec![input, &weight.values, &weight.scales];
        inputs.extend(weight.zero_points.as_deref());
        self.operator("MatMulNBits", CONTRIB, &inputs, &[output], &settings);
    }
}
