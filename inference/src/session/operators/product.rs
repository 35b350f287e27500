//! Products with weights in 8-bit blocks on the CPU, as an operator of our own: what `MatMulNBits` of ONNX Runtime
//! computes, several times as fast for more than a few tokens, and the same bits for a token whatever is computed with it.
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
use ort::{
    operator::{ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput},
    value::TensorElementType,
};

use super::locked;
use crate::import::weight::DEFAULT_ZERO_POINT;
use arena::Arena;
use kernel::{Products, multiply};
use panels::{COLUMNS, Panels, Size};
pub(super) use replace::replace;
use tile::Tile;
pub(crate) use weights::Weights;

pub(super) const NAME: &str = "Int8MatMul";
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
/// The attribute that says which of the weights are a product's.
const PRODUCT: &str = "product";

/// Whether the processor has what the operator needs: 512 bits wide products of bytes (Ice Lake, Zen 4 and later).
pub(super) fn is_possible() -> bool {
    X64V4xToken::summon().is_some()
}

/// The operator.
pub(super) struct Int8MatMul {
    processor: X64V4xToken,
    threads: NonZero<usize>,
    /// Where the weights' files are.
    folder: PathBuf,
    weights: Vec<Weights>,
    tiles: SharedTiles,
    arena: SharedArena,
}

/// Where the weights of a session are laid out.
type SharedArena = Arc<RwLock<Arena>>;

/// Room for the rounded inputs of a product. One of a session's products is computed at a time.
type SharedTiles = Arc<Mutex<Vec<Mutex<Tile>>>>;

impl Int8MatMul {
    /// For these weights of a graph in a folder; none where the processor has not what it needs.
    pub(super) fn new(
        weights: Vec<Weights>,
        folder: &Path,
        threads: NonZero<usize>,
    ) -> Option<Self> {
        Some(Self {
            processor: X64V4xToken::summon()?,
            threads,
            folder: folder.to_owned(),
            weights,
            tiles: SharedTiles::default(),
            arena: SharedArena::default(),
        })
    }

    /// Reads and lays out the weights of one product.
    fn pack(&self, size: Size, weights: &Weights) -> io::Result<Panels> {
        let values = weights.values.read(&self.folder)?;
        let scales = weights.scales.read(&self.folder)?;
        let zero_points = match &weights.zero_points {
            Some(zero_points) => zero_points.read(&self.folder)?,
            None => vec![DEFAULT_ZERO_POINT; size.outputs * size.blocks()],
        };
        let mut arena = self.arena.write().unwrap_or_else(PoisonError::into_inner);
        Panels::pack(
            &mut arena,
            size,
            &values,
            &scales,
            &zero_points,
            self.threads,
        )
    }
}

impl Operator for Int8MatMul {
    type Kernel<'attr> = Product;

    fn name(&self) -> &str {
        NAME
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [OperatorInput::required(TensorElementType::Float32)]
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn create_kernel(&self, context: &KernelContext<'_>) -> ort::Result<Product> {
        let number = |name: &str| {
            let number: Option<i64> = context.get(name);
            number
                .and_then(|number| usize::try_from(number).ok())
                .ok_or_else(|| wrong(&format!("it needs the attribute {name}")))
        };
        let size = Size {
            outputs: number("N")?,
            inputs: number("K")?,
            block: number("block_size")?,
        };
        let weights = self.weights.get(number(PRODUCT)?);
        let weights = weights.ok_or_else(|| wrong("it has no weights"))?;
        let panels = self.pack(size, weights);
        Ok(Product {
            processor: self.processor,
            threads: self.threads,
            tiles: Arc::clone(&self.tiles),
            arena: Arc::clone(&self.arena),
            panels: panels.map_err(|error| wrong(&error.to_string()))?,
        })
    }
}

pub(super) struct Product {
    processor: X64V4xToken,
    threads: NonZero<usize>,
    tiles: SharedTiles,
    arena: SharedArena,
    panels: Panels,
}

impl Kernel for Product {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let input = context.input(0)?.ok_or_else(|| wrong("it has no input"))?;
        let (shape, input) = input.try_extract_tensor::<f32>()?;
        let size = self.panels.size;
        let mut shape = shape.to_vec();
        match shape.last_mut() {
            Some(last) if usize::try_from(*last) == Ok(size.inputs) => {
                *last = i64::try_from(size.outputs).unwrap_or(i64::MAX);
            }
            _ => return Err(wrong("its input has another width")),
        }
        let mut output = context.output(0, shape)?;
        let output = output.as_mut().ok_or_else(|| wrong("it has no output"))?;
        let (_, output) = output.try_extract_tensor_mut::<f32>()?;
        let mut tiles = locked(&self.tiles);
        let tiles = self.round(context, input, &mut tiles)?;
        self.multiply(context, &tiles, output)
    }
}

impl Product {
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
                        let width = row.len().min(COLUMNS);
                        row[..width].copy_from_slice(&products[..width]);
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

fn wrong(problem: &str) -> ort::Error {
    ort::Error::new(format!("{NAME}: {problem}"))
}
