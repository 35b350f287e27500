//! A loaded decoder graph, and its runs over attention caches.

use std::{fmt, ops::Range};

use ort::session::Session;

use super::{
    Placement, SessionError, SessionOptions,
    bound::{self, Rows},
    flat::Flat,
    operators::Cache,
    placement,
};
use crate::{
    decoder::{Decoder, Part, Step, steps},
    device::Device,
    kv_cache::KvShape,
    model_dir::{ModelDir, Quantization},
};

/// The input that names the positions whose logits are wanted.
pub(super) const WANTED: &str = "logits_index";

/// The fewest tokens of a run whose results are the same bits in every company, where ONNX Runtime multiplies: it sums the
/// products of a single one in another order.
const FEWEST: usize = 2;

/// A loaded decoder.
pub(crate) struct Graph {
    session: Session,
    shape: KvShape,
    vocabulary_size: usize,
    placement: Placement,
    /// Where the attention is our own.
    flat: Option<Flat>,
    /// The fewest tokens of a run whose results are the same bits in every company.
    fewest: usize,
    /// Whether what it computes is rounded so little that nothing depends on it.
    is_precise: bool,
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
    pub(super) fn capacity(&self) -> usize {
        match self {
            Self::Bound(rows) => rows.capacity(),
            Self::Flat(cache) => cache.capacity(),
        }
    }
}

impl Graph {
    /// Loads the decoder of a model directory.
    pub(crate) fn load(model: &ModelDir, options: SessionOptions) -> Result<Self, SessionError> {
        let architecture = &model.manifest().architecture;
        let shape = KvShape::of(architecture, options.context_length);
        let (session, placement, own) = placement::open_decoder(&model.graph(), options)?;
        if !session.inputs().iter().any(|input| input.name() == WANTED) {
            return Err(SessionError::OtherGraph {
                path: model.graph(),
            });
        }
        let vocabulary_size = architecture.vocabulary_size;
        let flat = own
            .run
            .map(|run| Flat::new(&session, run, vocabulary_size))
            .transpose()?;
        Ok(Self {
            session,
            shape,
            vocabulary_size,
            placement,
            flat,
            fewest: if own.products { 1 } else { FEWEST },
            is_precise: model.manifest().quantization == Quantization::None,
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
        match &mut self.flat {
            Some(flat) => flat.run(&mut self.session, parts, fewest),
            None => Err(foreign()),
        }
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

    fn shape(&self) -> KvShape {
        self.shape
    }

    fn vocabulary_size(&self) -> usize {
        self.vocabulary_size
    }

    fn can_copy(&self) -> bool {
        self.placement.device != Device::Cuda
    }

    fn can_join(&self) -> bool {
        self.flat.is_some()
    }

    fn is_uniform(&self) -> bool {
        self.flat.is_some() || self.is_precise
    }

    fn allocate(&mut self, rows: usize, capacity: usize) -> Result<KvCache, SessionError> {
        if self.flat.is_some() {
            return Ok(KvCache::Flat(Cache::new(self.shape, rows, capacity)));
        }
        let size = [rows, capacity, self.vocabulary_size];
        let rows = Rows::new(&self.session, self.shape, size, self.placement.device)?;
        Ok(KvCache::Bound(Box::new(rows)))
    }

    fn resize(
        &mut self,
        cache: &mut KvCache,
        rows: usize,
        capacity: usize,
        moves: &[Move],
    ) -> Result<(), SessionError> {
        match cache {
            KvCache::Bound(cache) => cache.resize([rows, capacity, self.vocabulary_size], moves),
            KvCache::Flat(cache) => {
                cache.resize(rows, capacity, moves);
                Ok(())
            }
        }
    }

    fn copy(
        &mut self,
        (source, from): (&KvCache, usize),
        (target, to): (&mut KvCache, usize),
        positions: usize,
    ) {
        match (source, target) {
            (KvCache::Bound(source), KvCache::Bound(target)) => {
                target.copy_from(to, source, from, positions);
            }
            (KvCache::Flat(source), KvCache::Flat(target)) => {
                target.copy_from(to, source, from, positions);
            }
            _ => {}
        }
    }

    fn read(&self, cache: &KvCache, positions: Range<usize>) -> Box<[f32]> {
        match cache {
            KvCache::Bound(cache) => cache.read(positions),
            KvCache::Flat(cache) => cache.read(positions),
        }
    }

    fn write(&mut self, cache: &mut KvCache, start: usize, positions: usize, values: &[f32]) {
        match cache {
            KvCache::Bound(cache) => cache.write(start, positions, values),
            KvCache::Flat(cache) => cache.write(start, positions, values),
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
        let is_on_host = self.can_copy();
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
