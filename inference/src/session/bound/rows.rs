//! The memory of the attention cache for some conversations of one model as the inputs and outputs of a graph, and the
//! tensors of their next step.

use std::ops::Range;

use ort::{
    memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType},
    session::{IoBinding, Session},
    value::{DynValue, Tensor},
};

use crate::{
    device::Device,
    kv_cache::KvShape,
    session::{
        Move, SessionError,
        kv_part::{self, copy_row},
    },
};

/// Rows of attention cache, one a conversation, all of the same capacity.
///
/// The tensors are bound as the graph's past and as its present, so that no run copies them.
pub(crate) struct Rows {
    pub(super) binding: IoBinding,
    /// Keys and values of each layer in turn, each `[rows, heads, capacity, head size]`.
    tensors: Vec<Tensor<f32>>,
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
        shape: KvShape,
        [rows, capacity, vocabulary_size]: [usize; 3],
        device: Device,
    ) -> Result<Self, SessionError> {
        let allocate = || -> ort::Result<Self> {
            let allocator = allocator(session, device)?;
            let mut tensors = Vec::with_capacity(shape.layers * 2);
            for _ in 0..shape.layers * 2 {
                let size = [rows, shape.heads, capacity, shape.head_size];
                tensors.push(Tensor::<f32>::new(&allocator, size)?);
            }
            let (step, logits) = step_tensors(rows, vocabulary_size)?;
            let mut this = Self {
                binding: session.create_binding()?,
                tensors,
                capacity,
                shape,
                step,
                logits,
                several: None,
                is_step_bound: false,
            };
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
    ///
    /// One tensor after another, so that no more than one is there twice. After an error nothing in it is valid.
    pub(in crate::session) fn resize(
        &mut self,
        [rows, capacity, vocabulary_size]: [usize; 3],
        moves: &[Move],
    ) -> Result<(), SessionError> {
        let shape = self.shape;
        let allocator = Allocator::default();
        let (before, now) = (self.capacity, capacity);
        let mut rebuild = || -> ort::Result<()> {
            for index in 0..self.tensors.len() {
                let size = [rows, shape.heads, capacity, shape.head_size];
                let mut tensor = Tensor::<f32>::new(&allocator, size)?;
                let source = self.tensors[index].extract_tensor().1;
                let target = tensor.extract_tensor_mut().1;
                for step in moves {
                    copy_row(
                        shape,
                        (source, before, step.from),
                        (target, now, step.to),
                        step.positions,
                    );
                }
                self.tensors[index] = tensor;
                self.bind_cache(index)?;
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
        to: usize,
        source: &Self,
        from: usize,
        positions: usize,
    ) {
        let (shape, capacity) = (self.shape, self.capacity);
        for (target, tensor) in self.tensors.iter_mut().zip(&source.tensors) {
            copy_row(
                shape,
                (tensor.extract_tensor().1, source.capacity, from),
                (target.extract_tensor_mut().1, capacity, to),
                positions,
            );
        }
    }

    /// Keys and values of some positions of the first row: layer by layer, head by head.
    pub(in crate::session) fn read(&self, positions: Range<usize>) -> Box<[f32]> {
        let parts = self.tensors.iter().map(|tensor| tensor.extract_tensor().1);
        kv_part::read(self.shape, self.capacity, parts, positions)
    }

    /// Puts back what [`Self::read`] gave for so many positions.
    pub(in crate::session) fn write(&mut self, start: usize, positions: usize, values: &[f32]) {
        let tensors = self.tensors.iter_mut();
        let parts = tensors.map(|tensor| tensor.extract_tensor_mut().1);
        kv_part::write(self.shape, self.capacity, parts, (start, positions), values);
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
