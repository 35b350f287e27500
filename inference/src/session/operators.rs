//! Operators of our own for the CPU, put in the place of ONNX Runtime's when a graph is loaded.
//!
//! Graphs on disk keep ONNX Runtime's operators, which other devices need.

mod attention;
mod chain;
mod encoder;
mod parts;
mod product;
mod rewrite;

use std::{num::NonZero, path::Path, sync::Arc};

use ort::operator::OperatorDomain;

use attention::GroupedAttention;
pub(super) use attention::{Cache, Place, SharedRun, locked};
use chain::{Int8Chain, Plan};
pub(super) use encoder::domain as encoder_domain;
use product::Loader;
pub(crate) use rewrite::rewrite;
pub(super) use rewrite::rewrite_encoder;

/// Where our operators are.
const DOMAIN: &str = "claw";

/// What a session of `threads` threads needs for a graph in this folder that [`rewrite()`] made.
pub(super) fn domain(
    run: &SharedRun,
    chains: Vec<Vec<Plan>>,
    folder: &Path,
    threads: NonZero<usize>,
) -> ort::Result<OperatorDomain> {
    let run = Arc::clone(run);
    let domain = OperatorDomain::new(DOMAIN)?.add(GroupedAttention { run })?;
    match Loader::new(folder, threads) {
        Some(loader) => domain.add(Int8Chain::new(chains, loader)),
        None => Ok(domain),
    }
}
