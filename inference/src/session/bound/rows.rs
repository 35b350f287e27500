//! The memory of the attention cache for some conversations of one model as the inputs and outputs of a graph, and the
//! tensors of their next step.

use ort::{
    memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType},
    session::{IoBinding, Session},
    value::{DynTensor, DynValue, Tensor, TensorElementType},
};

use super::Copier;
use crate::{
    device::Device,
    kv_cache::KvShape,
    session::{Move, SessionError},
};

/// Rows of attention cache, one a conversation, all of the same capacity.
///
/// The tensors are bound as the graph's past and as its present, so that no run copies them.
pub(crate) struct Rows {
    pub(super) binding: IoBinding,
    memory: Allocator,
    element: TensorElementType,
    /// Keys and values of each layer in turn, each `[rows, heads, capacity, head size]`.
    tensors: Vec<DynTensor>,
    capacity: usize,
    shape: KvShape,
    pub(super) step: StepInputs,
    /// Logits of one position of each row, `[rows, 1, vocabulary]`.
    pub(super) logits: Tensor<f32>,
    /// Logits of several positions, as the runtime gave them.
    pub(super) several: Option<DynValue>,
    /// Whether the tensors of a step are bound, rather than those of a run of several tokens.
    pub(super) is_step_bound: bool,
}

/// The inputs of a step, allocated once.
pub(super) struct StepInputs {
    pub(super) tokens: Tensor<i64>,
    pub(super) sequences: Tensor<i32>,
    pub(super) total: Tensor<i32>,
    pub(super) wanted: Tensor<i64>,
}

impl Rows {
    pub(in crate::session) fn new(
        session: &Session,
        copier: &mut Copier,
        [rows, capacity, vocabulary_size]: [usize; 3],
        device: Device,
    ) -> Result<Self, SessionError> {
        let shape = copier.shape();
        let mut allocate = || -> ort::Result<Self> {
            let (step, logits) = step_tensors(rows, vocabulary_size)?;
            let mut this = Self {
                binding: session.create_binding()?,
                memory: allocator(session, device)?,
                element: copier.element(),
                tensors: Vec::with_capacity(shape.layers * 2),
                capacity,
                shape,
                step,
                logits,
                several: None,
                is_step_bound: false,
            };
            for _ in 0..shape.layers * 2 {
                this.tensors.push(this.part(rows, capacity)?);
            }
            copier.clear(&mut this.tensors, [rows, capacity])?;
            for index in 0..this.tensors.len() {
                this.bind_cache(index)?;
            }
            Ok(this)
        };
        allocate().map_err(|source| cache_error(shape, rows, capacity, source))
    }

    pub(in crate::session) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Changes the number of rows and their capacity. Conversations that are not among `moves` are lost.
    pub(in crate::session) fn resize(
        &mut self,
        copier: &mut Copier,
        [rows, capacity, vocabulary_size]: [usize; 3],
        moves: &[Move],
    ) -> Result<(), SessionError> {
        let shape = self.shape;
        let mut rebuild = || -> ort::Result<()> {
            let parts = copier.parts();
            for start in (0..self.tensors.len()).step_by(parts) {
                let range = start..start + parts;
                let targets = range.clone().map(|_| self.part(rows, capacity));
                let mut targets = targets.collect::<ort::Result<Vec<_>>>()?;
                let sources = &self.tensors[range.clone()];
                copier.resize(sources, &mut targets, [rows, capacity], moves)?;
                for (index, target) in range.zip(targets) {
                    self.tensors[index] = target;
                    self.bind_cache(index)?;
                }
            }
            (self.step, self.logits) = step_tensors(rows, vocabulary_size)?;
            self.is_step_bound = false;
            self.capacity = capacity;
            Ok(())
        };
        rebuild().map_err(|source| cache_error(shape, rows, capacity, source))
    }

    /// Takes over the first positions of a row of others.
    pub(in crate::session) fn copy_from(
        &mut self,
        copier: &mut Copier,
        to: usize,
        (source, from): (&Self, usize),
        positions: usize,
    ) -> Result<(), SessionError> {
        let source = (source.tensors.as_slice(), from);
        Ok(copier.copy(source, (&mut self.tensors, to), positions)?)
    }

    /// Keys and values of blocks of the first row, each `[parts, heads, positions, head size]`.
    pub(in crate::session) fn read(
        &self,
        copier: &mut Copier,
        start: usize,
        blocks: usize,
    ) -> Result<Vec<DynTensor>, SessionError> {
        Ok(copier.read(&self.memory, &self.tensors, start, blocks)?)
    }

    /// Puts blocks that [`Self::read`] gave to the beginning of the first row.
    pub(in crate::session) fn write(
        &mut self,
        copier: &mut Copier,
        blocks: &[&DynTensor],
    ) -> Result<(), SessionError> {
        Ok(copier.write(&mut self.tensors, blocks)?)
    }

    /// Memory for keys or values of one layer.
    fn part(&self, rows: usize, capacity: usize) -> ort::Result<DynTensor> {
        let size = [rows, self.shape.heads, capacity, self.shape.head_size];
        DynTensor::new(&self.memory, self.element, size)
    }

    fn bind_cache(&mut self, index: usize) -> ort::Result<()> {
        let (layer, part) = (index / 2, ["key", "value"][index % 2]);
        let tensor = &mut self.tensors[index];
        self.binding
            .bind_input(format!("past_key_values.{layer}.{part}"), tensor)?;
        self.binding
            .bind_output(format!("present.{layer}.{part}"), tensor)
    }
}

fn allocator(session: &Session, device: Device) -> ort::Result<Allocator> {
    match device {
        Device::Cuda => {
            let memory = MemoryInfo::new(
                AllocationDevice::CUDA,
                0,
                AllocatorType::Device,
                MemoryType::Default,
            )?;
            Allocator::new(session, memory)
        }
        Device::Auto | Device::Cpu => Ok(Allocator::default()),
    }
}

fn step_tensors(rows: usize, vocabulary_size: usize) -> ort::Result<(StepInputs, Tensor<f32>)> {
    let host = Allocator::default();
    let mut wanted = Tensor::<i64>::new(&host, [rows, 1])?;
    wanted.extract_tensor_mut().1.fill(0);
    let step = StepInputs {
        tokens: Tensor::new(&host, [rows, 1])?,
        sequences: Tensor::new(&host, [rows])?,
        total: Tensor::from_array((Vec::<i64>::new(), vec![0]))?,
        wanted,
    };
    Ok((step, Tensor::new(&host, [rows, 1, vocabulary_size])?))
}

fn cache_error(shape: KvShape, rows: usize, capacity: usize, source: ort::Error) -> SessionError {
    SessionError::Cache {
        bytes: shape.bytes(capacity) * rows,
        positions: capacity * rows,
        source,
    }
}
