//! Where an import reads weights from, one at a time.

use std::io::{Read, Seek};

use thiserror::Error;

use super::{
    gguf::{GgufError, GgufFile, TensorInfo},
    safetensors::{SafetensorsError, SafetensorsFiles},
};

/// Why a weight could not be read.
#[derive(Debug, Error)]
pub enum WeightsError {
    /// From a GGUF file.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// From safetensors files.
    #[error(transparent)]
    Safetensors(#[from] SafetensorsError),
}

/// Tensors by the names of their own format.
pub(crate) trait Weights {
    /// All tensors.
    fn tensors(&self) -> &[TensorInfo];

    /// Reads one tensor's encoded bytes.
    fn read(&mut self, tensor: &TensorInfo) -> Result<Vec<u8>, WeightsError>;
}

impl<R: Read + Seek> Weights for GgufFile<R> {
    fn tensors(&self) -> &[TensorInfo] {
        Self::tensors(self)
    }

    fn read(&mut self, tensor: &TensorInfo) -> Result<Vec<u8>, WeightsError> {
        Ok(self.read_tensor(tensor)?)
    }
}

impl Weights for SafetensorsFiles {
    fn tensors(&self) -> &[TensorInfo] {
        Self::tensors(self)
    }

    fn read(&mut self, tensor: &TensorInfo) -> Result<Vec<u8>, WeightsError> {
        Ok(self.read_tensor(tensor)?)
    }
}
