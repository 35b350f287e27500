//! What stands between the products of a text encoder, as operators of our own for the CPU: attention over the tokens of each
//! text without padding, the sum with the residual and its norm, and GELU (docs/adr/0017).

mod attention;
mod gelu;
mod norm;
mod replace;

use std::num::NonZero;

use ort::{
    operator::{ComputeContext, OperatorDomain},
    value::ValueRef,
};

use super::DOMAIN;
use attention::TextAttention;
use gelu::BiasGelu;
use norm::AddNorm;
pub(super) use replace::replace;

/// What a session of `threads` threads needs for a graph that [`replace()`] changed.
pub(in crate::session) fn domain(threads: NonZero<usize>) -> ort::Result<OperatorDomain> {
    OperatorDomain::new(DOMAIN)?
        .add(TextAttention)?
        .add(AddNorm { threads })?
        .add(BiasGelu { threads })
}

/// An input that has to be there.
fn input<'a>(context: &'a ComputeContext, name: &str, index: usize) -> ort::Result<ValueRef<'a>> {
    let value = context.input(index)?;
    value.ok_or_else(|| wrong(name, "an input is missing"))
}

fn wrong(name: &str, problem: &str) -> ort::Error {
    ort::Error::new(format!("{name}: {problem}"))
}
