//! Work that is shared among the threads of a session.

use std::sync::Mutex;

use ort::operator::ComputeContext;

use super::locked;

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
