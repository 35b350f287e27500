//! Products with weights, in floats, in 8-bit blocks or in 4-bit blocks.

use super::{Builder, GraphError, to_i64};
use crate::{
    import::{
        onnx::{CONTRIB, Setting},
        weight::{BLOCK_SIZE, DEFAULT_ZERO_POINT, Int4Blocks, Int8Blocks, Weight},
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
    /// The tensors that are added to the outputs, one for each weight, where the file has them.
    pub(super) biases: Vec<String>,
}

/// The names of an 8-bit weight's constants.
#[derive(Clone)]
pub(super) struct Int8Constants {
    /// Values that share one scale.
    pub(super) block_size: usize,
    pub(super) values: String,
    pub(super) scales: String,
    /// Absent when all are what the runtime assumes.
    pub(super) zero_points: Option<String>,
}

impl Builder<'_> {
    pub(super) fn linear(&mut self, linear: &Linear<'_>) -> Result<(), GraphError> {
        let has_bias = linear.biases.iter().any(|bias| self.find(bias).is_some());
        if !has_bias {
            return self.product(linear, linear.output);
        }
        let (product, constant) = (
            format!("{}_product", linear.output),
            format!("{}.bias", linear.name),
        );
        self.product(linear, &product)?;
        let mut values = Vec::new();
        for (bias, weight) in linear.biases.iter().zip(&linear.weights) {
            values.extend(self.bias(bias, weight.rows())?);
        }
        let size = values.len();
        self.writer.floats(&constant, &[size], values.into_iter())?;
        self.compute("Add", &[&product, &constant], linear.output);
        Ok(())
    }

    fn bias(&mut self, name: &str, size: usize) -> Result<Vec<f32>, GraphError> {
        let values = self.read(name, &[size])?.to_floats();
        let is_rotated = name.ends_with("attn_q.bias") || name.ends_with("attn_k.bias");
        if self.decoder.has_interleaved_heads && is_rotated {
            let head_size = self.decoder.architecture.head_size;
            return Ok(deinterleave(&values, head_size));
        }
        Ok(values)
    }

    fn product(&mut self, linear: &Linear<'_>, output: &str) -> Result<(), GraphError> {
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
                self.compute("MatMul", &[linear.input, &constant], output);
                Ok(())
            }
            Quantization::Int8 => self.product_int8(linear, output),
            Quantization::Int4 => {
                let blocks: Vec<Int4Blocks> = linear.weights.iter().map(Weight::to_int4).collect();
                let [values, scales, zero_points] =
                    ["q4", "scales", "zero_points"].map(|part| format!("{}.{part}", linear.name));
                let per_row = columns / BLOCK_SIZE;
                self.writer.bytes(
                    &values,
                    &[rows, per_row, BLOCK_SIZE / 2],
                    blocks.iter().flat_map(|part| part.values.iter().copied()),
                )?;
                self.writer.floats(
                    &scales,
                    &[rows, per_row],
                    blocks.iter().flat_map(|part| part.scales.iter().copied()),
                )?;
                self.writer.bytes(
                    &zero_points,
                    &[rows, per_row.div_ceil(2)],
                    blocks
                        .iter()
                        .flat_map(|part| part.zero_points.iter().copied()),
                )?;
                let inputs = [linear.input, &values, &scales, &zero_points];
                self.multiply(&inputs, output, [rows, columns], 4, BLOCK_SIZE);
                Ok(())
            }
        }
    }

    /// A product in 8-bit blocks, whatever the quantization.
    pub(super) fn product_int8(
        &mut self,
        linear: &Linear<'_>,
        output: &str,
    ) -> Result<(), GraphError> {
        let rows = linear.weights.iter().map(Weight::rows).sum();
        let columns = linear.weights[0].columns();
        let block_size = linear.weights[0].widest_block();
        let shape = [rows, columns / block_size, block_size];
        let constants = self.int8_constants(linear.name, &shape, block_size, &linear.weights)?;
        self.multiply_int8(linear.input, output, &constants, [rows, columns]);
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
        size: [usize; 2],
    ) {
        let mut inputs = vec![input, &weight.values, &weight.scales];
        inputs.extend(weight.zero_points.as_deref());
        self.multiply(&inputs, output, size, 8, weight.block_size);
    }

    fn multiply(
        &mut self,
        inputs: &[&str],
        output: &str,
        [rows, columns]: [usize; 2],
        bits: i64,
        block_size: usize,
    ) {
        let settings = [
            ("K", Setting::Int(to_i64(columns))),
            ("N", Setting::Int(to_i64(rows))),
            ("bits", Setting::Int(bits)),
            ("block_size", Setting::Int(to_i64(block_size))),
            ("accuracy_level", Setting::Int(INT8_ACCURACY)),
        ];
        self.operator("MatMulNBits", CONTRIB, inputs, &[output], &settings);
    }
}

/// Puts the values of each head into the order of its rows.
fn deinterleave(values: &[f32], head_size: usize) -> Vec<f32> {
    let halves = |head: &[f32]| {
        let half = |start: usize| {
            head[start..]
                .iter()
                .step_by(2)
                .copied()
                .collect::<Vec<f32>>()
        };
        [half(0), half(1)].concat()
    };
    values.chunks_exact(head_size).flat_map(halves).collect()
}
