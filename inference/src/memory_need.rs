//! What a model will take in memory, before it is loaded.

use std::{fs, path::Path};

use crate::{
    chat_model::{LoadError, context_length},
    encoder::{EncoderDir, EncoderDirError},
    kv_cache::KvShape,
    model_dir::ModelDir,
    session::seq2seq_graphs,
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

/// What the text encoder in a directory will take: it keeps nothing between requests.
pub fn encoder_memory_needed(directory: &Path) -> Result<MemoryNeed, EncoderDirError> {
    let encoder = EncoderDir::open(directory)?;
    Ok(MemoryNeed {
        weights: graph_bytes(encoder.graph()),
        cache: 0,
    })
}

/// What the sequence-to-sequence model in a directory will take. It answers one request at a time, whose cache is small
/// beside the weights.
pub fn seq2seq_memory_needed(directory: &Path) -> MemoryNeed {
    let graphs = seq2seq_graphs(directory);
    MemoryNeed {
        weights: graphs.iter().map(|graph| graph_bytes(graph)).sum(),
        cache: 0,
    }
}

/// A graph with the data beside it, whose files are named after it. A file that cannot be read counts nothing: loading
/// says what is wrong with it.
fn graph_bytes(graph: &Path) -> u64 {
    let (Some(folder), Some(name)) = (graph.parent(), graph.file_name()) else {
        return 0;
    };
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let name = name.to_string_lossy();
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&*name))
        .filter_map(|entry| entry.path().metadata().ok())
        .map(|file| file.len())
        .sum()
}
