//! Chains of products with what stands between them, as an operator of our own for the CPU: a layer of a decoder is its
//! attention and a chain.
//!
//! Between two products of a single token there is hardly anything to compute. As operators of ONNX Runtime a quarter of a
//! token's time went into handing that from one to the next (`docs/adr/0015`).

mod gate;
mod norm;
mod plan;
mod replace;

use std::{
    num::NonZero,
    sync::{Arc, Mutex},
};

use archmage::X64V4xToken;
use ort::{
    operator::{ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput},
    value::TensorElementType,
};

use super::{
    locked,
    parts::{each, part},
    product::{Loader, Product, Tile},
};
use norm::Norm;
pub(crate) use plan::Plan;
pub(super) use replace::replace;

pub(super) const NAME: &str = "Int8Chain";
/// The attribute that says which of the plans is a node's.
const CHAIN: &str = "chain";
/// Numbers of what is computed token by token that take less time than to tell another thread of them.
const ALONE: usize = 1 << 14;

/// The operator.
pub(super) struct Int8Chain {
    loader: Loader,
    plans: Vec<Vec<Plan>>,
    room: Arc<Mutex<Room>>,
}

/// Memory for what is between the steps. One of a session's chains is computed at a time.
#[derive(Default)]
struct Room {
    tiles: Vec<Mutex<Tile>>,
    /// What the last step gave, and what the next one will.
    values: [Vec<f32>; 2],
    residual: Vec<f32>,
}

impl Int8Chain {
    /// For these chains of a graph.
    pub(super) fn new(plans: Vec<Vec<Plan>>, loader: Loader) -> Self {
        Self {
            loader,
            plans,
            room: Arc::default(),
        }
    }

    fn step(&self, plan: &Plan) -> ort::Result<Step> {
        let failed = |error: std::io::Error| wrong(&error.to_string());
        Ok(match plan {
            Plan::Product(weights) => Step::Product(self.loader.product(weights).map_err(failed)?),
            Plan::Gate => Step::Gate,
            Plan::AddNorm { weights, epsilon } => Step::AddNorm(Norm {
                weights: self.loader.floats(weights).map_err(failed)?,
                epsilon: *epsilon,
            }),
        })
    }
}

impl Operator for Int8Chain {
    type Kernel<'attr> = Chain;

    fn name(&self) -> &str {
        NAME
    }

    /// What the first product takes, and the residual for the first [`Plan::AddNorm`].
    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        let element = TensorElementType::Float32;
        [
            OperatorInput::required(element),
            OperatorInput::optional(element),
        ]
    }

    /// What the last step gives, and the residual after the last [`Plan::AddNorm`].
    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        let element = TensorElementType::Float32;
        [
            OperatorOutput::required(element),
            OperatorOutput::optional(element),
        ]
    }

    fn create_kernel(&self, context: &KernelContext<'_>) -> ort::Result<Chain> {
        let number: Option<i64> = context.get(CHAIN);
        let number = number.and_then(|number| usize::try_from(number).ok());
        let plan = number.and_then(|number| self.plans.get(number));
        let plan = plan.ok_or_else(|| wrong(&format!("it needs the attribute {CHAIN}")))?;
        let steps = plan.iter().map(|step| self.step(step));
        let steps: Vec<_> = steps.collect::<ort::Result<_>>()?;
        let Some(Step::Product(first)) = steps.first() else {
            return Err(wrong("it begins with a product"));
        };
        Ok(Chain {
            inputs: first.size().inputs,
            processor: self.loader.processor(),
            threads: self.loader.threads(),
            room: Arc::clone(&self.room),
            steps,
        })
    }
}

pub(super) struct Chain {
    processor: X64V4xToken,
    threads: NonZero<usize>,
    /// Numbers of a token that the first step takes.
    inputs: usize,
    steps: Vec<Step>,
    room: Arc<Mutex<Room>>,
}

enum Step {
    Product(Product),
    Gate,
    AddNorm(Norm),
}

impl Step {
    /// Numbers of a token that it gives for so many.
    fn outputs(&self, inputs: usize) -> usize {
        match self {
            Self::Product(product) => product.size().outputs,
            Self::Gate => inputs / 2,
            Self::AddNorm(_) => inputs,
        }
    }
}

impl Kernel for Chain {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let input = context.input(0)?.ok_or_else(|| wrong("it has no input"))?;
        let (shape, input) = input.try_extract_tensor::<f32>()?;
        let last = shape.last().and_then(|last| usize::try_from(*last).ok());
        if last != Some(self.inputs) {
            return Err(wrong("its input has another width"));
        }
        let tokens = input.len() / self.inputs;
        let shape = |width: usize| {
            let mut shape = shape.to_vec();
            if let Some(last) = shape.last_mut() {
                *last = i64::try_from(width).unwrap_or(i64::MAX);
            }
            shape
        };
        let mut room = locked(&self.room);
        let Room {
            tiles,
            values: [from, into],
            residual,
        } = &mut *room;
        residual.clear();
        if let Some(given) = context.input(1)? {
            residual.extend_from_slice(given.try_extract_tensor::<f32>()?.1);
        }

        let outputs = |width, step: &Step| step.outputs(width);
        let width = self.steps.iter().fold(self.inputs, outputs);
        let mut output = context.output(0, shape(width))?;
        let output = output.as_mut().ok_or_else(|| wrong("it has no output"))?;
        let (_, output) = output.try_extract_tensor_mut::<f32>()?;
        let (mut from, mut into, mut width) = (from, into, self.inputs);
        for (number, step) in (1..).zip(&self.steps) {
            let given = if number == 1 {
                input
            } else {
                &from[..tokens * width]
            };
            width = step.outputs(width);
            let target = if number == self.steps.len() {
                &mut *output
            } else {
                at_least(into, tokens * width)
            };
            match step {
                Step::Product(product) => product.compute(context, tiles, given, target)?,
                Step::Gate => self.gate(context, given, target, width)?,
                Step::AddNorm(norm) => self.add_norm(context, norm, given, residual, target)?,
            }
            std::mem::swap(&mut from, &mut into);
        }
        if residual.is_empty() {
            return Ok(());
        }
        let Some(mut output) = context.output(1, shape(residual.len() / tokens.max(1)))? else {
            return Ok(());
        };
        output
            .try_extract_tensor_mut::<f32>()?
            .1
            .copy_from_slice(residual);
        Ok(())
    }
}

impl Chain {
    fn gate(
        &self,
        context: &ComputeContext,
        given: &[f32],
        target: &mut [f32],
        width: usize,
    ) -> ort::Result<()> {
        let part = part(target.len(), width, ALONE, self.threads);
        let parts = given.chunks(2 * part).zip(target.chunks_mut(part));
        each(context, parts, |(given, target)| {
            gate::gate(self.processor, width, given, target);
        })
    }

    fn add_norm(
        &self,
        context: &ComputeContext,
        norm: &Norm,
        given: &[f32],
        residual: &mut [f32],
        target: &mut [f32],
    ) -> ort::Result<()> {
        if residual.len() != given.len() {
            return Err(wrong("its residual has another size"));
        }
        let part = part(target.len(), norm.weights.len(), ALONE, self.threads);
        let parts = given
            .chunks(part)
            .zip(residual.chunks_mut(part))
            .zip(target.chunks_mut(part));
        each(context, parts, |((given, residual), target)| {
            norm.add(self.processor, given, residual, target);
        })
    }
}

/// The first numbers, as many as are wanted, of what grows for them.
fn at_least(numbers: &mut Vec<f32>, length: usize) -> &mut [f32] {
    if numbers.len() < length {
        numbers.resize(length, 0.0);
    }
    &mut numbers[..length]
}

fn wrong(problem: &str) -> ort::Error {
    ort::Error::new(format!("{NAME}: {problem}"))
}
