//! GELU of a sum with a bias.

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
use crate::{
    exponential::exponential,
    session::operators::parts::{each, part},
};

pub(super) const NAME: &str = "BiasGelu";
/// Numbers that take less time than to tell another thread of them, about ten microseconds.
const ALONE: usize = 1 << 15;

/// The operator: what `BiasGelu` of ONNX Runtime computes.
pub(super) struct BiasGelu {
    pub(super) threads: NonZero<usize>,
}

impl Operator for BiasGelu {
    type Kernel<'attr> = Bend;

    fn name(&self) -> &str {
        NAME
    }

    /// Rows, and what is added to each.
    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [(); 2].map(|()| OperatorInput::required(TensorElementType::Float32))
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn create_kernel(&self, _: &KernelContext<'_>) -> ort::Result<Bend> {
        Ok(Bend {
            threads: self.threads,
            arch: Arch::new(),
        })
    }
}

pub(super) struct Bend {
    threads: NonZero<usize>,
    arch: Arch,
}

impl Kernel for Bend {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let (rows, bias) = (input(context, NAME, 0)?, input(context, NAME, 1)?);
        let (shape, rows) = rows.try_extract_tensor::<f32>()?;
        let (_, bias) = bias.try_extract_tensor::<f32>()?;
        if bias.is_empty() || !rows.len().is_multiple_of(bias.len()) {
            return Err(wrong(NAME, "its bias has another width"));
        }
        let output = context.output(0, shape.clone())?;
        let mut output = output.ok_or_else(|| wrong(NAME, "it has no output"))?;
        let (_, output) = output.try_extract_tensor_mut::<f32>()?;
        let part = part(rows.len(), bias.len(), ALONE, self.threads);
        let parts = rows.chunks(part).zip(output.chunks_mut(part));
        each(context, parts, |(rows, into)| {
            self.arch.dispatch(Task { rows, bias, into });
        })
    }
}

struct Task<'a> {
    rows: &'a [f32],
    bias: &'a [f32],
    into: &'a mut [f32],
}

impl WithSimd for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let width = self.bias.len();
        let rows = self.rows.chunks_exact(width);
        for (row, into) in rows.zip(self.into.chunks_exact_mut(width)) {
            for ((into, value), bias) in into.iter_mut().zip(row).zip(self.bias) {
                *into = gelu(value + bias);
            }
        }
    }
}

/// x times the probability that a normal number is smaller, to 2e-7 of x: by the error function as in Abramowitz and Stegun,
/// Handbook of Mathematical Functions, 7.1.26.
#[inline(always)]
fn gelu(x: f32) -> f32 {
    const TERMS: [f32; 5] = [
        1.061_405_4,
        -1.453_152,
        1.421_413_7,
        -0.284_496_74,
        0.254_829_6,
    ];
    let distance = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let inverse = 1.0 / distance.mul_add(0.327_591_1, 1.0);
    let sum = TERMS
        .iter()
        .fold(0.0_f32, |sum, term| sum.mul_add(inverse, *term));
    // Twice the probability of a number further out.
    let outside = sum * inverse * exponential(-distance * distance);
    let share = if x < 0.0 { outside } else { 2.0 - outside };
    0.5 * x * share
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known values of x times the normal distribution's probability below x.
    const KNOWN: [(f32, f32); 7] = [
        (0.0, 0.0),
        (1.0, 0.841_344_8),
        (-1.0, -0.158_655_25),
        (0.5, 0.345_731_23),
        (-0.5, -0.154_268_77),
        (3.0, 2.995_950_3),
        (-3.0, -0.004_049_694),
    ];

    #[test]
    fn known_values_are_met() {
        for (x, expected) in KNOWN {
            assert!((gelu(x) - expected).abs() < 1e-6, "{x}: {}", gelu(x));
        }
    }

    #[test]
    fn extremes_give_what_they_are_near_to() {
        assert_eq!(gelu(1e30).to_bits(), 1e30_f32.to_bits());
        assert!(gelu(-1e4).abs() < 1e-30);
        assert!(gelu(f32::NAN).is_nan());
    }

    #[test]
    fn each_number_has_the_bias_of_its_place() {
        let rows: Vec<f32> = (0..3 * 37_u8)
            .map(|number| f32::from(number) / 20.0 - 3.0)
            .collect();
        let bias: Vec<f32> = (0..37_u8)
            .map(|number| f32::from(number) / 10.0 - 2.0)
            .collect();
        let mut into = vec![0.0; rows.len()];
        Arch::new().dispatch(Task {
            rows: &rows,
            bias: &bias,
            into: &mut into,
        });
        for (place, (value, found)) in rows.iter().zip(&into).enumerate() {
            let expected = gelu(value + bias[place % 37]);
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }
}
