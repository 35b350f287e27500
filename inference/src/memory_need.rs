//! What a model will take in memory, before it is loaded.

use std::path::Path;

use crate::{
    chat_model::{LoadError, context_length},
    kv_cache::KvShape,
    model_dir::ModelDir,
};

/// Memory of a loaded model, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryNeed {
    /// The weights, as ONNX Runtime keeps them.
    pub weights: u64,
    /// The attention cache of one conversation as long as the context.
    pub cache: u64,
}

/// What the model in a directory will take with this context; the model's own limit when absent.
///
/// Weights count with the size of their files: ONNX Runtime maps them, and puts those that it repacks for its kernels
/// beside, after which the pages of the file are the kernel's to take back.
pub fn memory_needed(directory: &Path, context: Option<usize>) -> Result<MemoryNeed, LoadError> {
    let model = ModelDir::open(directory)?;
    let manifest = model.manifest();
    let context_length = context_length(manifest, context)?;
    let shape = KvShape::of(&manifest.architecture, context_length);
    Ok(MemoryNeed {
        weights: manifest.files.values().map(|file| file.bytes).sum(),
        cache: shape.bytes(shape.capacity_for(context_length)) as u64,
    })
}
