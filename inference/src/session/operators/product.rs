//! Products with weights in 8-bit blocks on the CPU: what `MatMulNBits` of ONNX Runtime computes, several times as fast for
//! more than a few tokens, and the same bits for a token whatever is computed with it. They are steps of a
//! [chain](super::chain).
//!
//! Inputs are rounded to 8 bits, too, block by block, so that a block's products are whole numbers, summed exactly.

mod arena;
mod kernel;
mod panels;
mod replace;
mod tile;
mod weights;

use std::{
    io,
    num::NonZero,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use archmage::{SimdToken as _, X64V4xToken};
use ort::operator::ComputeContext;

use super::locked;
use crate::import::weight::DEFAULT_ZERO_POINT;
use arena::Arena;
use kernel::{Products, multiply};
pub(super) use panels::Size;
use panels::{COLUMNS, Panels};
pub(super) use replace::{needed, node, replace};
pub(super) use tile::Tile;
pub(super) use weights::Source;
pub(crate) use weights::Weights;

/// The most tokens that are computed with one panel at once: as many as have room in the registers.
const TOKENS: usize = 8;
/// Tiles that a task computes with one panel, which stays near the processor meanwhile.
const TILES: usize = 4;
/// Panels that are not worth a task of their own.
const FEWEST_PANELS: usize = 4;
/// Tasks for each thread, for those that are held up.
const TASKS: usize = 4;
/// Products that take less time than to tell another thread of them.
const ALONE: usize = 1 << 16;
/// Inputs that are rounded in less time than that.
const ALONE_ROUNDING: usize = 1 << 13;
/// Whether the processor has what the operator needs: 512 bits wide products of bytes (Ice Lake, Zen 4 and later).
pub(super) fn is_possible() -> bool {
    X64V4xToken::summon().is_some()
}

/// Lays out the weights of a session's products.
pub(super) struct Loader {
    processor: X64V4xToken,
    threads: NonZero<usize>,
    /// Where the weights' files are.
    folder: PathBuf,
    arena: SharedArena,
}

/// Where the weights of a session are laid out.
type SharedArena = Arc<RwLock<Arena>>;

impl Loader {
    /// For a graph in a folder; none where the processor has not what products need.
    pub(super) fn new(folder: &Path, threads: NonZero<usize>) -> Option<Self> {
        Some(Self {
            processor: X64V4xToken::summon()?,
            threads,
            folder: folder.to_owned(),
            arena: SharedArena::default(),
        })
    }

    pub(super) fn processor(&self) -> X64V4xToken {
        self.processor
    }

    pub(super) fn threads(&self) -> NonZero<usize> {
        self.threads
    }

    /// The numbers of a constant.
    pub(super) fn floats(&self, source: &Source) -> io::Result<Vec<f32>> {
        let bytes = source.read(&self.folder)?;
        let (numbers, _) = bytes.as_chunks();
        Ok(numbers.iter().copied().map(f32::from_le_bytes).collect())
    }

    /// Reads and lays out the weights of one product.
    pub(super) fn product(&self, weights: &Weights) -> io::Result<Product> {
        let size = weights.size;
        let values = weights.values.read(&self.folder)?;
        let scales = weights.scales.read(&self.folder)?;
        let zero_points = match &weights.zero_points {
            Some(zero_points) => zero_points.read(&self.folder)?,
            None => vec![DEFAULT_ZERO_POINT; size.outputs * size.blocks()],
        };
        let mut arena = self.arena.write().unwrap_or_else(PoisonError::into_inner);
        let panels = Panels::pack(
            &mut arena,
            size,
            &values,
            &scales,
            &zero_points,
            self.threads,
        );
        Ok(Product {
            processor: self.processor,
            threads: self.threads,
            arena: Arc::clone(&self.arena),
            panels: panels?,
        })
    }
}

/// A product with weights.
pub(super) struct Product {
    processor: X64V4xToken,
    threads: NonZero<usize>,
    arena: SharedArena,
    panels: Panels,
}

impl Product {
    pub(super) fn size(&self) -> Size {
        self.panels.size
    }

    /// Multiplies the inputs of some tokens. `tiles` is room for them, rounded.
    pub(super) fn compute(
        &self,
        context: &ComputeContext,
        tiles: &mut Vec<Mutex<Tile>>,
        input: &[f32],
        output: &mut [f32],
    ) -> ort::Result<()> {
        let tiles = self.round(context, input, tiles)?;
        self.multiply(context, &tiles, output)
    }

    /// Rounds the inputs of all tokens.
    fn round<'a>(
        &self,
        context: &ComputeContext,
        input: &[f32],
        tiles: &'a mut Vec<Mutex<Tile>>,
    ) -> ort::Result<Vec<&'a Tile>> {
        let size = self.panels.size;
        let rows: Vec<_> = input.chunks(TOKENS * size.inputs).collect();
        if tiles.len() < rows.len() {
            tiles.resize_with(rows.len(), Mutex::default);
        }
        let fill = |tile: usize| locked(&tiles[tile]).fill(self.processor, size, rows[tile]);
        if input.len() <= ALONE_ROUNDING {
            (0..rows.len()).for_each(fill);
        } else {
            context.par_for(rows.len(), 0, fill)?;
        }
        let tiles = tiles[..rows.len()].iter_mut();
        Ok(tiles
            .map(|tile| &*tile.get_mut().unwrap_or_else(PoisonError::into_inner))
            .collect())
    }

    /// Each task is the tokens of some tiles and the outputs of some panels.
    fn multiply(
        &self,
        context: &ComputeContext,
        tiles: &[&Tile],
        output: &mut [f32],
    ) -> ort::Result<()> {
        let size = self.panels.size;
        let arena = self.arena.read().unwrap_or_else(PoisonError::into_inner);
        let work = output.len() * size.inputs;
        let chunks = tiles.len().div_ceil(TILES);
        let parts = (TASKS * self.threads.get()).div_ceil(chunks.max(1));
        let panels = size.panels().div_ceil(parts).max(FEWEST_PANELS);
        let parts = size.panels().div_ceil(panels);
        let tasks: Vec<_> = (0..chunks * parts)
            .map(|_| Mutex::new(Vec::new()))
            .collect();
        for (token, row) in output.chunks_exact_mut(size.outputs).enumerate() {
            let first = token / (TOKENS * TILES) * parts;
            let row = row.chunks_mut(panels * COLUMNS);
            for (task, part) in tasks[first..].iter().zip(row) {
                locked(task).push(part);
            }
        }
        let task = |number: usize| {
            let (chunk, part) = (number / parts, number % parts);
            let tiles = &tiles[chunk * TILES..];
            let mut rows = locked(&tasks[number]);
            let last = (part * panels + panels).min(size.panels());
            let mut products = Products::default();
            for (place, panel) in (part * panels..last).enumerate() {
                let panel = self.panels.panel(&arena, panel);
                for (tile, rows) in tiles.iter().zip(rows.chunks_mut(TOKENS)) {
                    multiply(self.processor, panel, tile, &mut products);
                    for (row, products) in rows.iter_mut().zip(&products) {
                        let row = &mut row[place * COLUMNS..];
                        if let Some(row) = row.first_chunk_mut() {
                            *row = *products;
                        } else {
                            row.copy_from_slice(&products[..row.len()]);
                        }
                    }
                }
            }
        };
        if work <= ALONE {
            (0..tasks.len()).for_each(task);
            return Ok(());
        }
        context.par_for(tasks.len(), 0, task)
    }
}
