//! Runs with caches that are inputs and outputs of the graph, in place: on GPUs, and with attention that ours does not know.

mod copier;
mod rows;

use ort::{memory::MemoryInfo, session::Session, value::Tensor};

use super::{SessionError, graph::WANTED};
use crate::decoder::Step;
pub(super) use copier::Copier;
pub(super) use rows::Rows;

/// Adds tokens to the only row, and returns the logits that follow the last `wanted` of them.
pub(super) fn extend<'a>(
    session: &mut Session,
    rows: &'a mut Rows,
    past: usize,
    tokens: &[u32],
    wanted: usize,
) -> Result<&'a [f32], SessionError> {
    let total = past + tokens.len();
    let ids: Vec<i64> = tokens.iter().map(|&token| token.into()).collect();
    let first = i64::from(position(tokens.len() - wanted));
    let positions: Vec<i64> = (first..).take(wanted).collect();
    let binding = &mut rows.binding;
    binding.bind_input("input_ids", &Tensor::from_array(([1, ids.len()], ids))?)?;
    binding.bind_input(
        "seqlens_k",
        &Tensor::from_array(([1_usize], vec![position(total - 1)]))?,
    )?;
    let length = Tensor::from_array((Vec::<i64>::new(), vec![position(total)]))?;
    binding.bind_input("total_sequence_length", &length)?;
    binding.bind_input(WANTED, &Tensor::from_array(([1, wanted], positions))?)?;
    rows.is_step_bound = false;
    if wanted == 1 {
        binding.bind_output("logits", &mut rows.logits)?;
    } else {
        binding.bind_output_to_device("logits", &MemoryInfo::default())?;
    }
    // What was computed before lives until here, so that its memory is not given out twice.
    rows.several = None;
    let mut outputs = session.run_binding(&rows.binding)?;
    if wanted > 1 {
        rows.several = outputs.remove("logits");
    }
    drop(outputs);
    match &rows.several {
        Some(logits) => Ok(logits.try_extract_tensor::<f32>()?.1),
        None => Ok(rows.logits.extract_tensor().1),
    }
}

/// Adds a token to some rows, in their order, and returns the logits of each. The other rows are computed, too: their first
/// position is lost.
pub(super) fn step<'a>(
    session: &mut Session,
    rows: &'a mut Rows,
    steps: &[Step],
    is_on_host: bool,
) -> Result<&'a [f32], SessionError> {
    let longest = steps.iter().map(|step| step.past).max().unwrap_or(0);
    let inputs = &mut rows.step;
    let tokens = inputs.tokens.extract_tensor_mut().1;
    tokens.fill(0);
    let sequences = inputs.sequences.extract_tensor_mut().1;
    sequences.fill(0);
    for step in steps {
        tokens[step.row] = step.token.into();
        sequences[step.row] = position(step.past);
    }
    inputs.total.extract_tensor_mut().1[0] = position(longest + 1);
    // A device other than the host copies inputs when they are bound, so changed content is bound again.
    if !rows.is_step_bound || !is_on_host {
        let binding = &mut rows.binding;
        binding.bind_input("input_ids", &inputs.tokens)?;
        binding.bind_input("seqlens_k", &inputs.sequences)?;
        binding.bind_input("total_sequence_length", &inputs.total)?;
        binding.bind_input(WANTED, &inputs.wanted)?;
        binding.bind_output("logits", &mut rows.logits)?;
        rows.is_step_bound = true;
    }
    // The outputs are tensors of ours, so what the run returns is not needed.
    drop(session.run_binding(&rows.binding)?);
    let (shape, logits) = rows.logits.extract_tensor_mut();
    let size = shape
        .last()
        .map_or(0, |size| usize::try_from(*size).unwrap_or(0));
    for (index, step) in steps
        .iter()
        .enumerate()
        .filter(|(index, step)| *index != step.row)
    {
        logits.copy_within(step.row * size..(step.row + 1) * size, index * size);
    }
    Ok(&logits[..steps.len() * size])
}

/// A position in the cache, as the graph takes it.
fn position(index: usize) -> i32 {
    i32::try_from(index).expect("a cache of 2^31 positions fits into no memory")
}
