//! Attention on the CPU, as an operator of our own: what `GroupQueryAttention` of ONNX Runtime computes, in a fraction of
//! the time for the few queries of a step, and in an order of sums that no company changes.
//!
//! Graphs are written with ONNX Runtime's operator, which other devices need; [`replace()`] puts ours in its place.

mod replace;
mod rotation;
mod rows;

use std::{
    cell::RefCell,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};

use ort::{
    operator::{
        ComputeContext, Kernel, KernelContext, Operator, OperatorDomain, OperatorInput,
        OperatorOutput,
    },
    value::{DynValue, TensorElementType},
};

pub(crate) use replace::replace;
use rotation::Rotation;
use rows::{Keys, LANES, MOST, Rows, transpose};

/// Where our operators are.
const DOMAIN: &str = "claw";
const NAME: &str = "GroupedAttention";
/// Pairs of query and key whose attention takes less time than to tell another thread of it, about ten microseconds.
const ALONE: usize = 4096;

thread_local! {
    /// Scores of a task. Each thread of a session's pool keeps its own.
    static SCORES: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// What a session needs for graphs that [`replace()`] made.
pub(super) fn domain() -> ort::Result<OperatorDomain> {
    OperatorDomain::new(DOMAIN)?.add(GroupedAttention)
}

struct GroupedAttention;

impl Operator for GroupedAttention {
    type Kernel<'attr> = Attention;

    fn name(&self) -> &str {
        NAME
    }

    /// Those of `GroupQueryAttention`: queries (or queries, keys and values joined), keys, values, the caches of both,
    /// each row's last position, the longest row, cosines and sines.
    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        let floats = || OperatorInput::required(TensorElementType::Float32);
        let integers = || OperatorInput::required(TensorElementType::Int32);
        let optional = || OperatorInput::optional(TensorElementType::Float32);
        [
            floats(),
            optional(),
            optional(),
            floats(),
            floats(),
            integers(),
            integers(),
            floats(),
            floats(),
        ]
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        let floats = || OperatorOutput::required(TensorElementType::Float32);
        [floats(), floats(), floats()]
    }

    fn create_kernel(&self, context: &KernelContext<'_>) -> ort::Result<Attention> {
        let heads = |name: &str| {
            let heads: Option<i64> = context.get(name);
            heads
                .and_then(|heads| usize::try_from(heads).ok())
                .filter(|heads| *heads > 0)
                .ok_or_else(|| ort::Error::new(format!("{NAME} needs the attribute {name}")))
        };
        Ok(Attention {
            heads: heads("num_heads")?,
            kv_heads: heads("kv_num_heads")?,
            scale: context.get::<f32>("scale").filter(|scale| *scale > 0.0),
            arch: pulp::Arch::new(),
            queries: Vec::new(),
            columns: Vec::new(),
        })
    }
}

struct Attention {
    heads: usize,
    kv_heads: usize,
    /// Of scores; by the heads' size without.
    scale: Option<f32>,
    arch: pulp::Arch,
    /// Queries, rotated and scaled; kept for its memory.
    queries: Vec<f32>,
    /// Keys side by side, for several tokens.
    columns: Vec<f32>,
}

/// The sizes of one run.
#[derive(Clone, Copy)]
struct Layout {
    rows: usize,
    /// Tokens of a row.
    tokens: usize,
    heads: usize,
    kv_heads: usize,
    /// Numbers of a head.
    size: usize,
    /// Positions of a row of the cache.
    capacity: usize,
}

impl Layout {
    fn group(self) -> usize {
        self.heads / self.kv_heads
    }

    /// Where the keys, or values, of one row and head are.
    fn cache(self, pair: usize) -> Range<usize> {
        let length = self.capacity * self.size;
        pair * length..(pair + 1) * length
    }
}

impl Kernel for Attention {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let input = |index: usize| {
            let value = context.input(index)?;
            value.ok_or_else(|| wrong(&format!("it has no input {index}")))
        };
        let (first, seqlens) = (input(0)?, input(5)?);
        let (shape, first) = first.try_extract_tensor::<f32>()?;
        let (_, lasts) = seqlens.try_extract_tensor::<i32>()?;
        let (cosines, sines) = (input(7)?, input(8)?);
        let (table, cosines) = cosines.try_extract_tensor::<f32>()?;
        let (_, sines) = sines.try_extract_tensor::<f32>()?;
        let rotation = Rotation::new((table, cosines), sines)
            .ok_or_else(|| wrong("its cosines and sines do not fit"))?;

        let cache = input(3)?;
        let cache_shape = cache.shape().to_vec();
        let layout = self.layout(shape, &cache_shape)?;
        if 2 * rotation.pairs() > layout.size {
            return Err(wrong("its cosines are wider than a head"));
        }
        let pasts = pasts(lasts, layout, rotation.positions())?;
        let (keys, values) = (context.input(1)?, context.input(2)?);
        let given = if let (Some(keys), Some(values)) = (&keys, &values) {
            Parts {
                queries: first,
                keys: (keys.try_extract_tensor::<f32>()?.1, 0),
                values: (values.try_extract_tensor::<f32>()?.1, 0),
                strides: [layout.heads, layout.kv_heads].map(|heads| heads * layout.size),
            }
        } else {
            let stride = (layout.heads + 2 * layout.kv_heads) * layout.size;
            let keys = layout.heads * layout.size;
            Parts {
                queries: first,
                keys: (first, keys),
                values: (first, keys + layout.kv_heads * layout.size),
                strides: [stride, stride],
            }
        };
        given.check(layout)?;
        self.rotate_queries(&given, layout, &pasts, &rotation);

        let output = |index: usize| {
            let value = context.output(index, cache_shape.clone())?;
            value.ok_or_else(|| wrong("it has no cache"))
        };
        let (mut present_keys, mut present_values) = (output(1)?, output(2)?);
        for (index, present) in [(3, &mut present_keys), (4, &mut present_values)] {
            let past = input(index)?;
            // The cache is written in place where it is bound as both.
            if address(&past)? != address(present)? {
                let (_, past) = past.try_extract_tensor::<f32>()?;
                let (_, present) = present.try_extract_tensor_mut::<f32>()?;
                present.copy_from_slice(past);
            }
        }
        let keys = present_keys.try_extract_tensor_mut::<f32>()?.1;
        let values = present_values.try_extract_tensor_mut::<f32>()?.1;
        given.append(layout, &pasts, &rotation, keys, values);
        let shape = [layout.rows, layout.tokens, layout.heads * layout.size];
        let shape = shape.map(|size| i64::try_from(size).unwrap_or(i64::MAX));
        let mut output = context
            .output(0, shape.to_vec())?
            .ok_or_else(|| wrong("it has no output"))?;
        let (_, output) = output.try_extract_tensor_mut::<f32>()?;
        if layout.tokens == 1 {
            self.attend_step(context, layout, &pasts, (keys, values), output)
        } else {
            self.attend_prompt(context, layout, &pasts, (keys, values), output)
        }
    }
}

impl Attention {
    fn layout(&self, input: &[i64], cache: &[i64]) -> ort::Result<Layout> {
        let size = |value: i64| usize::try_from(value).unwrap_or(0);
        let (&[rows, tokens, _], &[cache_rows, heads, capacity, head]) = (input, cache) else {
            return Err(wrong("its inputs have other dimensions"));
        };
        let layout = Layout {
            rows: size(rows),
            tokens: size(tokens),
            heads: self.heads,
            kv_heads: self.kv_heads,
            size: size(head),
            capacity: size(capacity),
        };
        let fits = cache_rows == rows
            && size(heads) == self.kv_heads
            && self.heads.is_multiple_of(self.kv_heads)
            && layout.size > 0;
        if fits {
            Ok(layout)
        } else {
            Err(wrong("its cache does not fit"))
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a head has some hundred numbers"
    )]
    fn rotate_queries(
        &mut self,
        given: &Parts,
        layout: Layout,
        pasts: &[usize],
        rotation: &Rotation,
    ) {
        let scale = self
            .scale
            .unwrap_or_else(|| (layout.size as f32).sqrt().recip());
        let width = layout.heads * layout.size;
        self.queries
            .resize(layout.rows * layout.tokens * width, 0.0);
        for (index, target) in self.queries.chunks_exact_mut(width).enumerate() {
            target.copy_from_slice(&given.queries(index)[..width]);
            let position = pasts[index / layout.tokens] + index % layout.tokens;
            for head in target.chunks_exact_mut(layout.size) {
                rotation.rotate(head, position);
                for value in head {
                    *value *= scale;
                }
            }
        }
    }

    /// One token a row: each task is a row's heads that share keys and values.
    fn attend_step(
        &self,
        context: &ComputeContext,
        layout: Layout,
        pasts: &[usize],
        (keys, values): (&[f32], &[f32]),
        output: &mut [f32],
    ) -> ort::Result<()> {
        let width = layout.group() * layout.size;
        let outputs = apart(output, width);
        let task = |pair: usize| {
            let cache = layout.cache(pair);
            let limit = pasts[pair / layout.kv_heads] + 1;
            let queries = self.queries[pair * width..(pair + 1) * width].chunks_exact(layout.size);
            let queries: Vec<_> = queries.map(|query| (query, limit)).collect();
            let mut output = locked(&outputs[pair]);
            let mut outputs: Vec<_> = output.chunks_exact_mut(layout.size).collect();
            let keys = Keys::Rows(&keys[cache.clone()]);
            self.attend_task(keys, &values[cache], &queries, &mut outputs);
        };
        let seen: usize = pasts.iter().map(|past| past + 1).sum();
        if seen * layout.heads <= ALONE {
            (0..outputs.len()).for_each(task);
            return Ok(());
        }
        context.par_for(outputs.len(), 0, task)
    }

    /// Several tokens a row: each task is a few of them, and one head.
    fn attend_prompt(
        &mut self,
        context: &ComputeContext,
        layout: Layout,
        pasts: &[usize],
        (keys, values): (&[f32], &[f32]),
        output: &mut [f32],
    ) -> ort::Result<()> {
        let Layout {
            rows,
            tokens,
            heads,
            kv_heads,
            size,
            ..
        } = layout;
        let longest = pasts.iter().max().map_or(0, |past| past + tokens);
        let (block, blocks) = (size * LANES, longest.div_ceil(LANES));
        self.columns.resize(rows * kv_heads * blocks * block, 0.0);
        let columns = apart(&mut self.columns, block);
        context.par_for(columns.len(), 0, |number| {
            let (pair, start) = (number / blocks, number % blocks * block);
            let keys = &keys[layout.cache(pair)];
            transpose(&keys[start..], size, &mut locked(&columns[number]));
        })?;
        drop(columns);

        let outputs = apart(output, size);
        let pieces = tokens.div_ceil(MOST);
        context.par_for(rows * heads * pieces, 0, |number| {
            let (head, piece) = (number / pieces, balanced(number % pieces, pieces));
            let (row, head) = (head / heads, head % heads);
            let pair = row * kv_heads + head / layout.group();
            let piece = piece * MOST..((piece + 1) * MOST).min(tokens);
            let place = |token: usize| (row * tokens + token) * heads + head;
            let queries = piece.clone().map(|token| {
                let start = place(token) * size;
                (&self.queries[start..start + size], pasts[row] + token + 1)
            });
            let queries: Vec<_> = queries.collect();
            let mut outputs: Vec<_> = piece.map(|token| locked(&outputs[place(token)])).collect();
            let mut outputs: Vec<&mut [f32]> =
                outputs.iter_mut().map(|output| &mut ***output).collect();
            let columns = pair * blocks * block..(pair + 1) * blocks * block;
            let keys = Keys::Columns(&self.columns[columns]);
            self.attend_task(keys, &values[layout.cache(pair)], &queries, &mut outputs);
        })
    }

    fn attend_task(
        &self,
        keys: Keys,
        values: &[f32],
        queries: &[(&[f32], usize)],
        outputs: &mut [&mut [f32]],
    ) {
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

/// Parts of equal length that tasks write to, each to its own.
fn apart(values: &mut [f32], length: usize) -> Vec<Mutex<&mut [f32]>> {
    values.chunks_exact_mut(length).map(Mutex::new).collect()
}

fn locked<'a, 'b>(part: &'a Mutex<&'b mut [f32]>) -> MutexGuard<'a, &'b mut [f32]> {
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
    fn check(&self, layout: Layout) -> ort::Result<()> {
        let tokens = layout.rows * layout.tokens;
        let [queries, keys] = self.strides.map(|stride| stride * tokens);
        let fits = self.queries.len() == queries
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

    /// Puts the new keys, rotated, and values into their places in the caches.
    fn append(
        &self,
        layout: Layout,
        pasts: &[usize],
        rotation: &Rotation,
        keys: &mut [f32],
        values: &mut [f32],
    ) {
        let Layout {
            tokens,
            kv_heads,
            size,
            capacity,
            ..
        } = layout;
        for token in 0..layout.rows * tokens {
            let (row, position) = (token / tokens, pasts[token / tokens] + token % tokens);
            for head in 0..kv_heads {
                let from = token * self.strides[1] + head * size;
                let to = ((row * kv_heads + head) * capacity + position) * size;
                let key = &mut keys[to..to + size];
                key.copy_from_slice(&self.keys.0[self.keys.1 + from..][..size]);
                rotation.rotate(key, position);
                let value = &self.values.0[self.values.1 + from..][..size];
                values[to..to + size].copy_from_slice(value);
            }
        }
    }
}

/// Where a tensor's numbers are.
fn address(tensor: &DynValue) -> ort::Result<*const f32> {
    Ok(tensor.try_extract_tensor::<f32>()?.1.as_ptr())
}

/// The positions before each row's new tokens. All of them are in the cache, and have a rotation.
fn pasts(lasts: &[i32], layout: Layout, rotations: usize) -> ort::Result<Vec<usize>> {
    let past = |last: &i32| {
        let total = usize::try_from(*last).ok()? + 1;
        let past = total.checked_sub(layout.tokens)?;
        (total <= layout.capacity.min(rotations)).then_some(past)
    };
    let pasts: Option<Vec<usize>> = lasts.iter().map(past).collect();
    pasts
        .filter(|pasts| pasts.len() == layout.rows)
        .ok_or_else(|| wrong("its rows do not fit into the cache"))
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
}
