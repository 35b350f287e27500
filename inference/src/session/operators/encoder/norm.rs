//! Adding to the residual, and the normalized sum.

#![expect(
    clippy::inline_always,
    reason = "only what is inlined is compiled for the processor's registers"
)]

use std::num::NonZero;

use ort::{
    operator::{ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput},
    value::TensorElementType,
};
use pulp::{Arch, Simd, WithSimd};

use super::{input, wrong};
use crate::session::operators::parts::{each, part};

pub(super) const NAME: &str = "AddLayerNorm";
/// Numbers that take less time than to tell another thread of them, about ten microseconds.
const ALONE: usize = 1 << 16;
/// Numbers that are summed side by side, whatever the processor.
const LANES: usize = 16;

/// The operator: what `SkipLayerNormalization` of ONNX Runtime computes.
pub(super) struct AddNorm {
    pub(super) threads: NonZero<usize>,
}

impl Operator for AddNorm {
    type Kernel<'attr> = Normalize;

    fn name(&self) -> &str {
        NAME
    }

    /// Rows, the residual's rows, weights, and what is added to normalized numbers and to rows.
    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        let floats = || OperatorInput::required(TensorElementType::Float32);
        let optional = OperatorInput::optional(TensorElementType::Float32);
        [floats(), floats(), floats(), floats(), optional]
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn create_kernel(&self, context: &KernelContext<'_>) -> ort::Result<Normalize> {
        let epsilon = context.get("epsilon");
        Ok(Normalize {
            threads: self.threads,
            epsilon: epsilon.ok_or_else(|| wrong(NAME, "it needs the attribute epsilon"))?,
            arch: Arch::new(),
        })
    }
}

pub(super) struct Normalize {
    threads: NonZero<usize>,
    epsilon: f32,
    arch: Arch,
}

impl Kernel for Normalize {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let [rows, residual, weights, shift] =
            [0, 1, 2, 3].map(|index| input(context, NAME, index));
        let (rows, residual, weights, shift) = (rows?, residual?, weights?, shift?);
        let (shape, rows) = rows.try_extract_tensor::<f32>()?;
        let (_, residual) = residual.try_extract_tensor::<f32>()?;
        let (_, weights) = weights.try_extract_tensor::<f32>()?;
        let (_, shift) = shift.try_extract_tensor::<f32>()?;
        let bias = context.input(4)?;
        let bias = match &bias {
            Some(bias) => bias.try_extract_tensor::<f32>()?.1,
            None => &[],
        };
        let width = weights.len();
        let fits = width > 0
            && rows.len().is_multiple_of(width)
            && residual.len() == rows.len()
            && shift.len() == width
            && (bias.is_empty() || bias.len() == width);
        if !fits {
            return Err(wrong(NAME, "its inputs do not fit"));
        }
        let output = context.output(0, shape.clone())?;
        let mut output = output.ok_or_else(|| wrong(NAME, "it has no output"))?;
        let (_, output) = output.try_extract_tensor_mut::<f32>()?;
        let part = part(rows.len(), width, ALONE, self.threads);
        let parts = rows.chunks(part).zip(residual.chunks(part));
        let parts = parts.zip(output.chunks_mut(part));
        each(context, parts, |((rows, residual), into)| {
            self.arch.dispatch(Task {
                rows,
                residual,
                bias,
                weights,
                shift,
                epsilon: self.epsilon,
                into,
            });
        })
    }
}

struct Task<'a> {
    rows: &'a [f32],
    residual: &'a [f32],
    /// Nothing, or what is added to each row.
    bias: &'a [f32],
    weights: &'a [f32],
    shift: &'a [f32],
    epsilon: f32,
    into: &'a mut [f32],
}

impl WithSimd for Task<'_> {
    type Output = ();

    /// A row's numbers are summed in the same order in any company.
    #[inline(always)]
    #[expect(
        clippy::cast_precision_loss,
        reason = "a row has some thousand numbers"
    )]
    fn with_simd<S: Simd>(self, _: S) {
        let width = self.weights.len();
        let share = (width as f32).recip();
        let rows = self.rows.chunks_exact(width);
        let rows = rows.zip(self.residual.chunks_exact(width));
        for ((row, residual), into) in rows.zip(self.into.chunks_exact_mut(width)) {
            for ((into, value), residual) in into.iter_mut().zip(row).zip(residual) {
                *into = value + residual;
            }
            for (into, bias) in into.iter_mut().zip(self.bias) {
                *into += bias;
            }
            let mean = sum(into, |value| value) * share;
            let squares = sum(into, |value| (value - mean) * (value - mean));
            let scale = (squares * share + self.epsilon).sqrt().recip();
            let beside = self.weights.iter().zip(self.shift);
            for (into, (weight, shift)) in into.iter_mut().zip(beside) {
                *into = (*into - mean) * scale * weight + shift;
            }
        }
    }
}

#[inline(always)]
fn sum(numbers: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    let (whole, rest) = numbers.as_chunks::<LANES>();
    for numbers in whole {
        for (sum, number) in sums.iter_mut().zip(numbers) {
            *sum += of(*number);
        }
    }
    for (sum, number) in sums.iter_mut().zip(rest) {
        *sum += of(*number);
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_normalized_row_by_row() {
        let width = 37;
        let numbers = |factor: f32, count: usize| -> Vec<f32> {
            let numbers = (0..=255_u8).cycle().take(count);
            numbers
                .map(|number| (f32::from(number) - 30.0) * factor)
                .collect()
        };
        let (rows, residual) = (numbers(0.3, 2 * width), numbers(-0.1, 2 * width));
        let (weights, shift) = (numbers(0.05, width), numbers(0.01, width));
        for bias in [Vec::new(), numbers(0.2, width)] {
            let mut into = vec![0.0; 2 * width];
            Arch::new().dispatch(Task {
                rows: &rows,
                residual: &residual,
                bias: &bias,
                weights: &weights,
                shift: &shift,
                epsilon: 0.5,
                into: &mut into,
            });
            for start in [0, width] {
                let sum = |at: usize| {
                    let bias = bias.get(at).copied().unwrap_or(0.0);
                    f64::from(rows[start + at]) + f64::from(residual[start + at]) + f64::from(bias)
                };
                let mean = (0..width).map(sum).sum::<f64>() / 37.0;
                let squares = (0..width).map(|at| (sum(at) - mean).powi(2)).sum::<f64>();
                let scale = (squares / 37.0 + 0.5).sqrt().recip();
                for at in 0..width {
                    let normed = (sum(at) - mean) * scale;
                    let expected = normed * f64::from(weights[at]) + f64::from(shift[at]);
                    let found = f64::from(into[start + at]);
                    assert!((found - expected).abs() < 1e-5, "{found} {expected}");
                }
            }
        }
    }
}
