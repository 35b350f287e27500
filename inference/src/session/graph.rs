//! A loaded decoder graph, and its runs over rows of attention cache.

use std::{fmt, ops::Range};

use ort::{memory::MemoryInfo, session::Session, value::Tensor};

use super::{Placement, SessionError, SessionOptions, placement, rows::Move, rows::Rows};
use crate::{
    decoder::{Decoder, Step},
    device::Device,
    kv_cache::KvShape,
    model_dir::ModelDir,
};

/// The input that names the positions whose logits are wanted.
const WANTED: &str = "logits_index";

/// A loaded decoder.
pub(crate) struct Graph {
    session: Session,
    shape: KvShape,
    vocabulary_size: usize,
    placement: Placement,
}

impl fmt::Debug for Graph {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Graph")
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}

impl Graph {
    /// Loads the decoder of a model directory.
    pub(crate) fn load(model: &ModelDir, options: SessionOptions) -> Result<Self, SessionError> {
        let architecture = &model.manifest().architecture;
        let shape = KvShape::of(architecture, options.context_length);
        let (session, placement) = placement::open(&model.graph(), options)?;
        if !session.inputs().iter().any(|input| input.name() == WANTED) {
            return Err(SessionError::OtherGraph {
                path: model.graph(),
            });
        }
        Ok(Self {
            session,
            shape,
            vocabulary_size: architecture.vocabulary_size,
            placement,
        })
    }

    pub(crate) fn placement(&self) -> &Placement {
        &self.placement
    }

    fn is_on_host(&self) -> bool {
        self.placement.device != Device::Cuda
    }

    fn run_several(
        &mut self,
        rows: &mut Rows,
        past: usize,
        tokens: &[u32],
        wanted: usize,
    ) -> Result<(), SessionError> {
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
        let mut outputs = self.session.run_binding(&rows.binding)?;
        if wanted > 1 {
            rows.several = outputs.remove("logits");
        }
        Ok(())
    }
}

impl Decoder for Graph {
    type Cache = Rows;

    fn shape(&self) -> KvShape {
        self.shape
    }

    fn vocabulary_size(&self) -> usize {
        self.vocabulary_size
    }

    fn can_copy(&self) -> bool {
        self.is_on_host()
    }

    fn allocate(&mut self, rows: usize, capacity: usize) -> Result<Rows, SessionError> {
        let size = [rows, capacity, self.vocabulary_size];
        Rows::new(&self.session, self.shape, size, self.placement.device)
    }

    fn resize(
        &mut self,
        cache: &mut Rows,
        rows: usize,
        capacity: usize,
        moves: &[Move],
    ) -> Result<(), SessionError> {
        cache.resize([rows, capacity, self.vocabulary_size], moves)
    }

    fn copy(
        &mut self,
        (source, from): (&Rows, usize),
        (target, to): (&mut Rows, usize),
        positions: usize,
    ) {
        target.copy_from(to, source, from, positions);
    }

    fn read(&self, cache: &Rows, positions: Range<usize>) -> Box<[f32]> {
        cache.read(positions)
    }

    fn write(&mut self, cache: &mut Rows, start: usize, positions: usize, values: &[f32]) {
        cache.write(start, positions, values);
    }

    fn extend<'a>(
        &mut self,
        cache: &'a mut Rows,
        past: usize,
        tokens: &[u32],
        wanted: usize,
    ) -> Result<&'a [f32], SessionError> {
        let capacity = cache.capacity();
        if tokens.is_empty() || past + tokens.len() > capacity {
            return Err(SessionError::CacheFull {
                tokens: tokens.len(),
                past,
                capacity,
            });
        }
        self.run_several(cache, past, tokens, wanted)?;
        match &cache.several {
            Some(logits) => Ok(logits.try_extract_tensor::<f32>()?.1),
            None => Ok(cache.logits.extract_tensor().1),
        }
    }

    fn step<'a>(&mut self, cache: &'a mut Rows, steps: &[Step]) -> Result<&'a [f32], SessionError> {
        let longest = steps.iter().map(|step| step.past).max().unwrap_or(0);
        let capacity = cache.capacity();
        if longest >= capacity {
            return Err(SessionError::CacheFull {
                tokens: 1,
                past: longest,
                capacity,
            });
        }
        let inputs = &mut cache.step;
        let tokens = inputs.tokens.extract_tensor_mut().1;
        for (target, step) in tokens.iter_mut().zip(steps) {
            *target = step.token.into();
        }
        let sequences = inputs.sequences.extract_tensor_mut().1;
        for (target, step) in sequences.iter_mut().zip(steps) {
            *target = position(step.past);
        }
        inputs.total.extract_tensor_mut().1[0] = position(longest + 1);
        // A device other than the host copies inputs when they are bound, so changed content is bound again.
        if !cache.is_step_bound || !self.is_on_host() {
            let binding = &mut cache.binding;
            binding.bind_input("input_ids", &inputs.tokens)?;
            binding.bind_input("seqlens_k", &inputs.sequences)?;
            binding.bind_input("total_sequence_length", &inputs.total)?;
            binding.bind_input(WANTED, &inputs.wanted)?;
            binding.bind_output("logits", &mut cache.logits)?;
            cache.is_step_bound = true;
        }
        // The outputs are tensors of ours, so what the run returns is not needed.
        drop(self.session.run_binding(&cache.binding)?);
        Ok(cache.logits.extract_tensor().1)
    }
}

/// A position in the cache, as the graph takes it.
fn position(index: usize) -> i32 {
    i32::try_from(index).expect("a cache of 2^31 positions fits into no memory")
}
