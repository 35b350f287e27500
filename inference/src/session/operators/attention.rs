//! Attention on the CPU, as an operator of our own: what `GroupQueryAttention` of ONNX Runtime computes, in a fraction of
//! the time for the few queries of a step, and in an order of sums that no company changes.
//!
//! Ours takes the caches from a [`Run`] beside the graph: so one run serves tokens of any conversations, several of each.

mod aligned;
mod cache;
mod replace;
mod rotation;
mod rows;

use std::{
    cell::RefCell,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ort::{
    operator::{ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput},
    value::TensorElementType,
};

pub(in crate::session) use cache::Cache;
pub(super) use replace::replace;
use rotation::Rotation;
pub(super) use rows::{LANES, MOST, Rows};

const NAME: &str = "GroupedAttention";
/// The attribute that says which layer's cache it is.
const LAYER: &str = "layer";
/// Pairs of query and key whose attention takes less time than to tell another thread of it, about ten microseconds.
const ALONE: usize = 1024;

thread_local! {
    /// Scores of a task. Each thread of a session's pool keeps its own.
    static SCORES: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// What the attention of every layer needs to know of a run.
#[derive(Debug, Default)]
pub(in crate::session) struct Run {
    /// Where each token belongs. Tokens of one row follow each other.
    pub(in crate::session) places: Vec<Place>,
    /// The caches that take part, lent for as long as the run lasts.
    pub(in crate::session) caches: Vec<Cache>,
}

/// A run that the operators of a session share with who makes it.
pub(in crate::session) type SharedRun = Arc<Mutex<Run>>;

/// Where a token's key and value belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::session) struct Place {
    pub(in crate::session) cache: usize,
    pub(in crate::session) row: usize,
    pub(in crate::session) position: usize,
}

/// The operator; what its kernels compute for, they find in `run`.
pub(super) struct GroupedAttention {
    pub(super) run: SharedRun,
}

impl Operator for GroupedAttention {
    type Kernel<'attr> = Attention;

    fn name(&self) -> &str {
        NAME
    }

    /// Those of `GroupQueryAttention` without caches and lengths: queries (or queries, keys and values joined), keys, values,
    /// cosines and sines.
    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        let floats = || OperatorInput::required(TensorElementType::Float32);
        let optional = || OperatorInput::optional(TensorElementType::Float32);
        [floats(), optional(), optional(), floats(), floats()]
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn create_kernel(&self, context: &KernelContext<'_>) -> ort::Result<Attention> {
        let number = |name: &str, least: usize| {
            let number: Option<i64> = context.get(name);
            number
                .and_then(|number| usize::try_from(number).ok())
                .filter(|number| *number >= least)
                .ok_or_else(|| ort::Error::new(format!("{NAME} needs the attribute {name}")))
        };
        let (heads, kv_heads) = (number("num_heads", 1)?, number("kv_num_heads", 1)?);
        if !heads.is_multiple_of(kv_heads) {
            return Err(wrong("its heads fall into no groups"));
        }
        Ok(Attention {
            run: Arc::clone(&self.run),
            layer: number(LAYER, 0)?,
            heads,
            kv_heads,
            scale: context.get::<f32>("scale").filter(|scale| *scale > 0.0),
            arch: pulp::Arch::new(),
            queries: Vec::new(),
            key: Vec::new(),
        })
    }
}

pub(super) struct Attention {
    run: SharedRun,
    layer: usize,
    heads: usize,
    kv_heads: usize,
    /// Of scores; by the heads' size without.
    scale: Option<f32>,
    arch: pulp::Arch,
    /// Queries, rotated and scaled; kept for its memory.
    queries: Vec<f32>,
    /// A key, rotated; kept for its memory.
    key: Vec<f32>,
}

impl Kernel for Attention {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let input = |index: usize| {
            let value = context.input(index)?;
            value.ok_or_else(|| wrong(&format!("it has no input {index}")))
        };
        let first = input(0)?;
        let (shape, first) = first.try_extract_tensor::<f32>()?;
        let (cosines, sines) = (input(3)?, input(4)?);
        let (table, cosines) = cosines.try_extract_tensor::<f32>()?;
        let (_, sines) = sines.try_extract_tensor::<f32>()?;
        let rotation = Rotation::new((table, cosines), sines)
            .ok_or_else(|| wrong("its cosines and sines do not fit"))?;
        let (keys, values) = (context.input(1)?, context.input(2)?);

        let shared = Arc::clone(&self.run);
        let mut run = locked(&shared);
        let Run { places, caches } = &mut *run;
        let size = self.size(caches)?;
        if 2 * rotation.pairs() > size {
            return Err(wrong("its cosines are wider than a head"));
        }
        let fits = |place: &Place| {
            let capacity = caches.get(place.cache).map_or(0, Cache::capacity);
            place.position < capacity.min(rotation.positions())
        };
        if !places.iter().all(fits) {
            return Err(wrong("its tokens do not fit into the caches"));
        }
        let given = if let (Some(keys), Some(values)) = (&keys, &values) {
            Parts {
                queries: first,
                keys: (keys.try_extract_tensor::<f32>()?.1, 0),
                values: (values.try_extract_tensor::<f32>()?.1, 0),
                strides: [self.heads, self.kv_heads].map(|heads| heads * size),
            }
        } else {
            let stride = (self.heads + 2 * self.kv_heads) * size;
            let keys = self.heads * size;
            Parts {
                queries: first,
                keys: (first, keys),
                values: (first, keys + self.kv_heads * size),
                strides: [stride, stride],
            }
        };
        given.check(places.len())?;
        self.rotate_queries(&given, size, places, &rotation);
        self.append(&given, size, places, &rotation, caches);

        let &[rows, tokens, _] = &**shape else {
            return Err(wrong("its queries have other dimensions"));
        };
        let width = i64::try_from(self.heads * size).unwrap_or(i64::MAX);
        let mut output = context
            .output(0, vec![rows, tokens, width])?
            .ok_or_else(|| wrong("it has no output"))?;
        let (_, output) = output.try_extract_tensor_mut::<f32>()?;
        let (steps, pieces) = by_row(places);
        self.attend_steps(context, places, caches, &steps, output)?;
        self.attend_pieces(context, places, caches, &pieces, output)
    }
}

impl Attention {
    /// The size of a head, which all caches agree on.
    fn size(&self, caches: &[Cache]) -> ort::Result<usize> {
        let size = caches.first().map_or(0, Cache::head_size);
        let fits = |cache: &Cache| {
            cache.heads() == self.kv_heads
                && cache.head_size() == size
                && cache.layer(self.layer).is_some()
        };
        if size > 0 && caches.iter().all(fits) {
            Ok(size)
        } else {
            Err(wrong("its caches do not fit"))
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a head has some hundred numbers"
    )]
    fn rotate_queries(
        &mut self,
        given: &Parts,
        size: usize,
        places: &[Place],
        rotation: &Rotation,
    ) {
        let scale = self.scale.unwrap_or_else(|| (size as f32).sqrt().recip());
        let width = self.heads * size;
        self.queries.resize(places.len() * width, 0.0);
        let targets = self.queries.chunks_exact_mut(width);
        for (token, (target, place)) in targets.zip(places).enumerate() {
            target.copy_from_slice(&given.queries(token)[..width]);
            for head in target.chunks_exact_mut(size) {
                rotation.rotate(head, place.position);
                for value in head {
                    *value *= scale;
                }
            }
        }
    }

    /// Puts the new keys, rotated, and values into their places in the caches.
    fn append(
        &mut self,
        given: &Parts,
        size: usize,
        places: &[Place],
        rotation: &Rotation,
        caches: &mut [Cache],
    ) {
        for (token, place) in places.iter().enumerate() {
            for head in 0..self.kv_heads {
                let [key, value] = given.pair(token, head, size);
                self.key.clear();
                self.key.extend_from_slice(key);
                rotation.rotate(&mut self.key, place.position);
                let at = (place.row, head, place.position);
                caches[place.cache].put(self.layer, at, &self.key, value);
            }
        }
    }

    /// Tokens that are the only ones of their rows: each task is a token's heads that share keys and values.
    fn attend_steps(
        &self,
        context: &ComputeContext,
        places: &[Place],
        caches: &[Cache],
        steps: &[usize],
        output: &mut [f32],
    ) -> ort::Result<()> {
        if steps.is_empty() {
            return Ok(());
        }
        let group = output.len() / places.len() / self.kv_heads;
        let outputs = apart(output, group);
        let task = |number: usize| {
            let (step, head) = (number / self.kv_heads, number % self.kv_heads);
            let token = steps[step];
            let (place, number) = (places[token], token * self.kv_heads + head);
            let cache = &caches[place.cache];
            let size = cache.head_size();
            let queries = self.queries[number * group..][..group].chunks_exact(size);
            let queries: Vec<_> = queries.map(|query| (query, place.position + 1)).collect();
            let mut output = locked(&outputs[number]);
            let mut outputs: Vec<_> = output.chunks_exact_mut(size).collect();
            self.attend_task((cache, place.row, head), &queries, &mut outputs);
        };
        let count = steps.len() * self.kv_heads;
        let seen: usize = steps.iter().map(|step| places[*step].position + 1).sum();
        if seen * self.heads <= ALONE {
            (0..count).for_each(task);
            return Ok(());
        }
        context.par_for(count, 0, task)
    }

    /// Several tokens of a row: each task is a few of them, and one head.
    fn attend_pieces(
        &self,
        context: &ComputeContext,
        places: &[Place],
        caches: &[Cache],
        pieces: &[Range<usize>],
        output: &mut [f32],
    ) -> ort::Result<()> {
        if pieces.is_empty() {
            return Ok(());
        }
        let size = output.len() / places.len() / self.heads;
        let outputs = apart(output, size);
        for piece in pieces {
            let parts = piece.len().div_ceil(MOST);
            context.par_for(self.heads * parts, 0, |number| {
                let (head, part) = (number / parts, balanced(number % parts, parts));
                let start = piece.start + part * MOST;
                let tokens = start..(start + MOST).min(piece.end);
                let number = |token: usize| token * self.heads + head;
                let queries = tokens.clone().map(|token| {
                    let query = &self.queries[number(token) * size..][..size];
                    (query, places[token].position + 1)
                });
                let queries: Vec<_> = queries.collect();
                let mut outputs: Vec<_> = tokens
                    .map(|token| locked(&outputs[number(token)]))
                    .collect();
                let mut outputs: Vec<&mut [f32]> =
                    outputs.iter_mut().map(|output| &mut ***output).collect();
                let place = places[piece.start];
                let head = head / (self.heads / self.kv_heads);
                let cache = &caches[place.cache];
                self.attend_task((cache, place.row, head), &queries, &mut outputs);
            })?;
        }
        Ok(())
    }

    fn attend_task(
        &self,
        (cache, row, head): (&Cache, usize, usize),
        queries: &[(&[f32], usize)],
        outputs: &mut [&mut [f32]],
    ) {
        let Some([keys, values]) = cache.layer(self.layer) else {
            return;
        };
        let place = cache.head(row, head);
        let (keys, values) = (&keys[place.clone()], &values[place]);
        SCORES.with_borrow_mut(|scores| {
            for (queries, outputs) in queries.chunks(MOST).zip(outputs.chunks_mut(MOST)) {
                self.arch.dispatch(Rows {
                    keys,
                    values,
                    queries,
                    outputs,
                    scores,
                });
            }
        });
    }
}

/// Tokens that are the only ones of their rows, and ranges of tokens of one row.
fn by_row(places: &[Place]) -> (Vec<usize>, Vec<Range<usize>>) {
    let (mut steps, mut pieces) = (Vec::new(), Vec::new());
    let mut start = 0;
    for piece in places.chunk_by(|left, right| (left.cache, left.row) == (right.cache, right.row)) {
        match piece.len() {
            1 => steps.push(start),
            length => pieces.push(start..start + length),
        }
        start += piece.len();
    }
    (steps, pieces)
}

/// Parts of equal length that tasks write to, each to its own.
pub(super) fn apart(values: &mut [f32], length: usize) -> Vec<Mutex<&mut [f32]>> {
    values.chunks_exact_mut(length).map(Mutex::new).collect()
}

pub(in crate::session) fn locked<T: ?Sized>(part: &Mutex<T>) -> MutexGuard<'_, T> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The other end's block for every second one: later tokens see more, and each thread takes a run of tasks.
fn balanced(index: usize, count: usize) -> usize {
    if index.is_multiple_of(2) {
        index / 2
    } else {
        count - 1 - index / 2
    }
}

/// Where queries are, and keys and values, those from where on in each token's row.
struct Parts<'a> {
    queries: &'a [f32],
    keys: (&'a [f32], usize),
    values: (&'a [f32], usize),
    /// From one token to the next: of queries, and of keys and values.
    strides: [usize; 2],
}

impl<'a> Parts<'a> {
    fn check(&self, tokens: usize) -> ort::Result<()> {
        let [queries, keys] = self.strides.map(|stride| stride * tokens);
        let fits = tokens > 0
            && self.queries.len() == queries
            && self.keys.0.len() == keys
            && self.values.0.len() == keys;
        if fits {
            Ok(())
        } else {
            Err(wrong("its queries, keys and values do not fit"))
        }
    }

    fn queries(&self, token: usize) -> &'a [f32] {
        &self.queries[token * self.strides[0]..]
    }

    /// A token's key and value of one head.
    fn pair(&self, token: usize, head: usize, size: usize) -> [&'a [f32]; 2] {
        let start = token * self.strides[1] + head * size;
        [self.keys, self.values].map(|(numbers, from)| &numbers[from + start..][..size])
    }
}

fn wrong(problem: &str) -> ort::Error {
    ort::Error::new(format!("{NAME}: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_is_computed_once_and_halves_weigh_alike() {
        for count in 1..20 {
            let mut blocks: Vec<_> = (0..count).map(|index| balanced(index, count)).collect();
            let half: usize = blocks.iter().take(count / 2).sum();
            let all: usize = blocks.iter().sum();
            assert!(all.abs_diff(2 * half) <= 2 * count, "{blocks:?}");
            blocks.sort_unstable();
            assert_eq!(blocks, (0..count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn tokens_of_a_row_belong_together() {
        let place = |cache, row, position| Place {
            cache,
            row,
            position,
        };
        let places = [
            place(0, 0, 9),
            place(0, 1, 3),
            place(0, 1, 4),
            place(1, 1, 5),
            place(2, 0, 0),
            place(2, 0, 1),
            place(2, 0, 2),
        ];
        let (steps, pieces) = by_row(&places);
        assert_eq!((steps, pieces), (vec![0, 3], vec![1..3, 4..7]));
    }
}
