//! Work that is shared among the threads of a session.

use std::{num::NonZero, sync::Mutex};

use ort::operator::ComputeContext;

use super::locked;

/// Parts for each thread, for those that are held up.
const PARTS: usize = 2;

/// How many numbers a part has, of so many in rows of `width`: all where they are no more than `alone`.
pub(super) fn part(numbers: usize, width: usize, alone: usize, threads: NonZero<usize>) -> usize {
    if numbers <= alone {
        return numbers.max(1);
    }
    (numbers / width).div_ceil(PARTS * threads.get()) * width
}

/// Computes parts, on all threads where there are several.
pub(super) fn each<T: Send>(
    context: &ComputeContext,
    mut parts: impl ExactSizeIterator<Item = T>,
    task: impl Fn(T) + Sync + Send,
) -> ort::Result<()> {
    if parts.len() <= 1 {
        parts.next().map(task);
        return Ok(());
    }
    let parts: Vec<_> = parts.map(|part| Mutex::new(Some(part))).collect();
    context.par_for(parts.len(), 0, |number| {
        let part = locked(&parts[number]).take();
        part.map(&task);
    })
}
