//! What no engine can beat: a token reads all weights once.

use std::{hint::black_box, path::Path, thread, time::Instant};

use claw_inference::ModelDir;

use crate::client::{Outcome, to_float};

/// Beyond all caches.
const BUFFER: usize = 512 << 20;
const PASSES: usize = 3;

/// Bytes per second that so many threads read together at best; 0 is one a processor.
pub(crate) fn read_bandwidth(threads: usize) -> f64 {
    let all = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = if threads == 0 { all } else { threads };
    let values = vec![1_u64; BUFFER / size_of::<u64>()];
    let pass = || {
        let start = Instant::now();
        thread::scope(|scope| {
            for part in values.chunks(values.len().div_ceil(threads)) {
                scope.spawn(move || black_box(sum(part)));
            }
        });
        to_float(BUFFER) / start.elapsed().as_secs_f64()
    };
    (0..PASSES).map(|_| pass()).fold(0.0, f64::max)
}

/// Independent sums, so that memory and not adding is what takes time.
fn sum(values: &[u64]) -> u64 {
    let mut lanes = [0_u64; 16];
    for chunk in values.chunks_exact(16) {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = lane.wrapping_add(*value);
        }
    }
    lanes.into_iter().fold(0, u64::wrapping_add)
}

/// The weights. The embedding is read as the head where the model has none of its own; the table of rotations is not.
pub(crate) fn bytes_per_token(model: &ModelDir) -> Outcome<f64> {
    let manifest = model.manifest();
    let shape = &manifest.architecture;
    let rotations = shape.context_length * shape.head_size * size_of::<f32>();
    let data = manifest.files.iter().filter(|(name, _)| {
        Path::new(name)
            .extension()
            .is_some_and(|kind| kind == "data")
    });
    let bytes: u64 = data.map(|(_, file)| file.bytes).sum();
    Ok(to_float(usize::try_from(bytes)?.saturating_sub(rotations)))
}
