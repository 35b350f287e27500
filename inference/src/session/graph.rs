//! A loaded decoder graph, and its runs over attention caches.

use std::fmt;

use ort::{
    session::Session,
    value::{DynTensor, Outlet, TensorElementType, ValueType},
};

use super::{
    Placement, SessionError, SessionOptions,
    bound::{self, Copier, Rows},
    flat::Flat,
    operators::Cache,
    placement::{self, Own},
};
use crate::{
    decoder::{Decoder, Part, Step, steps},
    device::Device,
    import::onnx::ElementType,
    kv_cache::{BLOCK, KvShape},
    model_dir::{Manifest, ModelDir, Quantization},
};

/// The input that names the positions whose logits are wanted.
pub(super) const WANTED: &str = "logits_index";

const FIRST_CACHE: &str = "past_key_values.0.key";

/// The fewest tokens of a run whose results are the same bits in every company, where ONNX Runtime multiplies: it sums the
/// products of a single one in another order.
const FEWEST: usize = 2;

/// Longer pieces of a prompt are computed no faster.
const LONGEST_ON_CPU: usize = 64;
/// A run of an H100 takes the same time for one token of a small model as for so many.
const LONGEST_ON_GPU: usize = 512;

/// A loaded decoder.
pub(crate) struct Graph {
    session: Session,
    shape: KvShape,
    vocabulary_size: usize,
    placement: Placement,
    caches: Caches,
    /// The fewest tokens of a run whose results are the same bits in every company.
    fewest: usize,
    /// Whether what it computes is rounded so little that nothing depends on it.
    is_precise: bool,
}

/// A kept piece of a conversation's cache, where that is.
pub(crate) enum Block {
    /// In the device's memory.
    Bound(DynTensor),
    /// Of our own attention.
    Flat(Box<[f32]>),
}

/// What runs over caches.
enum Caches {
    /// Inputs and outputs of the graph.
    Bound(Box<Copier>),
    /// Our own attention.
    Flat(Box<Flat>),
}

/// The attention cache of some conversations, one a row.
pub(crate) enum KvCache {
    /// Inputs and outputs of the graph.
    Bound(Box<Rows>),
    /// Beside the graph, for our own attention.
    Flat(Cache),
}

/// A conversation's place while rows move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Move {
    /// The row it is in.
    pub(crate) from: usize,
    /// The row it goes to.
    pub(crate) to: usize,
    /// Its positions.
    pub(crate) positions: usize,
}

impl fmt::Debug for Graph {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Graph")
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}

impl KvCache {
    pub(crate) fn capacity(&self) -> usize {
        match self {
            Self::Bound(rows) => rows.capacity(),
            Self::Flat(cache) => cache.capacity(),
        }
    }
}

impl Graph {
    /// Loads the decoder of a model directory.
    pub(crate) fn load(model: &ModelDir, options: SessionOptions) -> Result<Self, SessionError> {
        let opened = placement::open_decoder(&model.graph(), options)?;
        if !opened.0.inputs().iter().any(|input| input.name() == WANTED) {
            return Err(SessionError::OtherGraph {
                path: model.graph(),
            });
        }
        let Manifest {
            architecture,
            quantization,
            ..
        } = model.manifest();
        let shape = KvShape::of(architecture, options.context_length);
        Self::new(opened, shape, architecture.vocabulary_size, *quantization)
    }

    pub(super) fn new(
        (session, placement, own): (Session, Placement, Own),
        mut shape: KvShape,
        vocabulary_size: usize,
        quantization: Quantization,
    ) -> Result<Self, SessionError> {
        let element = element(&session);
        shape.number_bytes = element.bytes();
        let caches = match own.run {
            Some(run) => Caches::Flat(Box::new(Flat::new(&session, run, vocabulary_size)?)),
            None => Caches::Bound(Box::new(Copier::new(shape, element, placement.device)?)),
        };
        Ok(Self {
            session,
            shape,
            vocabulary_size,
            placement,
            caches,
            fewest: if own.products { 1 } else { FEWEST },
            is_precise: quantization == Quantization::None && element == ElementType::Float,
        })
    }

    pub(crate) fn placement(&self) -> &Placement {
        &self.placement
    }

    /// One run of our own attention.
    fn run_flat(
        &mut self,
        parts: &mut [Part<'_, Cache>],
        fewest: usize,
    ) -> Result<&[f32], SessionError> {
        match &mut self.caches {
            Caches::Flat(flat) => flat.run(&mut self.session, parts, fewest),
            Caches::Bound(_) => Err(foreign()),
        }
    }
}

/// What caches are made of where they are inputs.
fn element(session: &Session) -> ElementType {
    let cache = session
        .inputs()
        .iter()
        .find(|input| input.name() == FIRST_CACHE);
    match cache.map(Outlet::dtype) {
        Some(ValueType::Tensor {
            ty: TensorElementType::Float16,
            ..
        }) => ElementType::Float16,
        Some(ValueType::Tensor {
            ty: TensorElementType::Bfloat16,
            ..
        }) => ElementType::BFloat16,
        _ => ElementType::Float,
    }
}

/// No cache of another model comes here.
fn foreign() -> SessionError {
    ort::Error::new("the cache is of another model").into()
}

/// Whether the tokens have room.
fn check(cache: &KvCache, steps: &[Step]) -> Result<(), SessionError> {
    let capacity = cache.capacity();
    let past = steps.iter().map(|step| step.past).max();
    if past.is_some_and(|past| past < capacity) {
        return Ok(());
    }
    Err(SessionError::CacheFull {
        tokens: steps.len(),
        past: past.unwrap_or(0),
        capacity,
    })
}

impl Decoder for Graph {
    type Cache = KvCache;
    type Block = Block;

    fn shape(&self) -> KvShape {
        self.shape
    }

    fn vocabulary_size(&self) -> usize {
        self.vocabulary_size
    }

    fn longest_piece(&self) -> usize {
        match self.placement.device {
            Device::Cuda => LONGEST_ON_GPU,
            Device::Auto | Device::Cpu => LONGEST_ON_CPU,
        }
    }

    fn can_join(&self) -> bool {
        matches!(self.caches, Caches::Flat(_))
    }

    fn is_uniform(&self) -> bool {
        self.can_join() || self.is_precise
    }

    fn allocate(&mut self, rows: usize, capacity: usize) -> Result<KvCache, SessionError> {
        let size = [rows, capacity, self.vocabulary_size];
        Ok(match &mut self.caches {
            Caches::Flat(_) => KvCache::Flat(Cache::new(self.shape, rows, capacity)),
            Caches::Bound(copier) => {
                let rows = Rows::new(&self.session, copier, size, self.placement.device)?;
                KvCache::Bound(Box::new(rows))
            }
        })
    }

    fn resize(
        &mut self,
        cache: &mut KvCache,
        rows: usize,
        capacity: usize,
        moves: &[Move],
    ) -> Result<(), SessionError> {
        match (cache, &mut self.caches) {
            (KvCache::Bound(cache), Caches::Bound(copier)) => {
                cache.resize(copier, [rows, capacity, self.vocabulary_size], moves)
            }
            (KvCache::Flat(cache), _) => {
                cache.resize(rows, capacity, moves);
                Ok(())
            }
            (KvCache::Bound(_), Caches::Flat(_)) => Err(foreign()),
        }
    }

    fn copy(
        &mut self,
        (source, from): (&KvCache, usize),
        (target, to): (&mut KvCache, usize),
        positions: usize,
    ) -> Result<(), SessionError> {
        match (source, target, &mut self.caches) {
            (KvCache::Bound(source), KvCache::Bound(target), Caches::Bound(copier)) => {
                target.copy_from(copier, to, (source, from), positions)
            }
            (KvCache::Flat(source), KvCache::Flat(target), _) => {
                target.copy_from(to, source, from, positions);
                Ok(())
            }
            _ => Err(foreign()),
        }
    }

    fn read(
        &mut self,
        cache: &KvCache,
        start: usize,
        blocks: usize,
    ) -> Result<Vec<Block>, SessionError> {
        match (cache, &mut self.caches) {
            (KvCache::Bound(cache), Caches::Bound(copier)) => {
                let blocks = cache.read(copier, start, blocks)?;
                Ok(blocks.into_iter().map(Block::Bound).collect())
            }
            (KvCache::Flat(cache), _) => {
                let starts = (start..).step_by(BLOCK).take(blocks);
                let block = |at| Block::Flat(cache.read(at..at + BLOCK));
                Ok(starts.map(block).collect())
            }
            (KvCache::Bound(_), Caches::Flat(_)) => Err(foreign()),
        }
    }

    fn write(&mut self, cache: &mut KvCache, blocks: &[&Block]) -> Result<(), SessionError> {
        match (cache, &mut self.caches) {
            (KvCache::Bound(cache), Caches::Bound(copier)) => {
                let tensors = blocks.iter().map(|block| match block {
                    Block::Bound(tensor) => Ok(tensor),
                    Block::Flat(_) => Err(foreign()),
                });
                cache.write(copier, &tensors.collect::<Result<Vec<_>, _>>()?)
            }
            (KvCache::Flat(cache), _) => {
                for (index, block) in blocks.iter().enumerate() {
                    let Block::Flat(values) = block else {
                        return Err(foreign());
                    };
                    cache.write(index * BLOCK, BLOCK, values);
                }
                Ok(())
            }
            (KvCache::Bound(_), Caches::Flat(_)) => Err(foreign()),
        }
    }

    fn extend<'a>(
        &'a mut self,
        cache: &'a mut KvCache,
        past: usize,
        tokens: &[u32],
        wanted: usize,
    ) -> Result<&'a [f32], SessionError> {
        let steps: Vec<Step> = steps(past, tokens).collect();
        check(cache, &steps)?;
        match cache {
            KvCache::Bound(rows) => bound::extend(&mut self.session, rows, past, tokens, wanted),
            KvCache::Flat(cache) => {
                self.run_flat(&mut [Part::new(cache, &steps, wanted)], self.fewest)
            }
        }
    }

    fn step<'a>(
        &'a mut self,
        cache: &'a mut KvCache,
        steps: &[Step],
    ) -> Result<&'a [f32], SessionError> {
        check(cache, steps)?;
        let is_on_host = self.placement.device != Device::Cuda;
        let wanted = steps.len();
        match cache {
            KvCache::Bound(rows) => bound::step(&mut self.session, rows, steps, is_on_host),
            KvCache::Flat(cache) => {
                self.run_flat(&mut [Part::new(cache, steps, wanted)], self.fewest)
            }
        }
    }

    fn step_alone<'a>(
        &'a mut self,
        cache: &'a mut KvCache,
        step: Step,
    ) -> Result<&'a [f32], SessionError> {
        check(cache, &[step])?;
        if let KvCache::Flat(cache) = cache {
            return self.run_flat(&mut [Part::new(cache, &[step], 1)], 1);
        }
        self.step(cache, &[step])
    }

    fn join<'a>(&'a mut self, parts: &mut [Part<'_, KvCache>]) -> Result<&'a [f32], SessionError> {
        for part in &*parts {
            check(part.cache, part.steps)?;
        }
        let parts = parts.iter_mut().map(|part| match &mut *part.cache {
            KvCache::Flat(cache) => Ok(Part::new(cache, part.steps, part.wanted)),
            KvCache::Bound(_) => Err(foreign()),
        });
        let mut parts = parts.collect::<Result<Vec<_>, _>>()?;
        self.run_flat(&mut parts, self.fewest)
    }
}
