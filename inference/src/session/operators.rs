//! Operators of our own for the CPU, put in the place of ONNX Runtime's when a graph is loaded.
//!
//! Graphs on disk keep ONNX Runtime's operators, which other devices need.

mod attention;
#[cfg(target_arch = "x86_64")]
mod product;
mod rewrite;

use std::{num::NonZero, sync::Arc};

use ort::operator::OperatorDomain;

use attention::GroupedAttention;
pub(super) use attention::{Cache, Place, SharedRun, locked};
pub(crate) use rewrite::rewrite;

/// Where our operators are.
const DOMAIN: &str = "claw";

/// What a session of `threads` threads needs for graphs that [`rewrite()`] made.
pub(super) fn domain(run: &SharedRun, threads: NonZero<usize>) -> ort::Result<OperatorDomain> {
    let run = Arc::clone(run);
    let domain = OperatorDomain::new(DOMAIN)?.add(GroupedAttention { run })?;
    #[cfg(target_arch = "x86_64")]
    if let Some(product) = product::Int8MatMul::new(threads) {
        return domain.add(product);
    }
    Ok(domain)
}
