//! Moves what is in attention caches, wherever they lie: by graphs that run on the device that the caches are on.

mod plan;

use ort::{
    memory::Allocator,
    session::{IoBinding, Session},
    value::{DynTensor, Tensor, TensorElementType},
};

use super::super::{SessionError, SessionOptions, placement};
use crate::{
    device::Device,
    import::onnx::ElementType,
    kv_cache::{BLOCK, KvShape},
    session::Move,
};
use plan::{ENDS, KEPT, PLACES, Plan, RESULT, ROOM, ROWS, SOURCE, STARTS, TARGET, VALUES, of_part};

/// Parts that one run gives another size at most: so many are there twice meanwhile.
const MOST_PARTS: usize = 8;

/// Blocks that one run reads or writes, where there are so many.
const MANY: usize = 8;

/// Moves what is in the caches of one model.
pub(in crate::session) struct Copier {
    shape: KvShape,
    element: ElementType,
    /// Parts that [`Self::resize`] takes at once, of which the cache has a multiple.
    parts: usize,
    clear: Session,
    resize: Session,
    copy: Session,
    /// For one block, and for many.
    read: [Session; 2],
    write: [Session; 2],
}

/// Some positions of a row.
#[derive(Clone, Copy)]
struct Piece {
    row: usize,
    start: usize,
    positions: usize,
}

impl Copier {
    pub(in crate::session) fn new(
        shape: KvShape,
        element: ElementType,
        device: Device,
    ) -> Result<Self, SessionError> {
        let all = shape.layers * 2;
        let parts = (1..=MOST_PARTS)
            .rev()
            .find(|&parts| all.is_multiple_of(parts));
        let parts = parts.unwrap_or(1);
        let options = SessionOptions {
            device,
            threads: Some(std::num::NonZero::<usize>::MIN),
            context_length: shape.context_length,
        };
        let open = |plan: fn(Plan) -> Vec<u8>, parts| {
            placement::open_bytes(&plan(Plan::new(shape, element, parts)), options)
        };
        Ok(Self {
            shape,
            element,
            parts,
            clear: open(Plan::clear, all)?,
            resize: open(Plan::resize, parts)?,
            copy: open(Plan::copy, all)?,
            read: [
                open(|plan| plan.read(1), all)?,
                open(|plan| plan.read(MANY), all)?,
            ],
            write: [
                open(|plan| plan.write(1), all)?,
                open(|plan| plan.write(MANY), all)?,
            ],
        })
    }

    pub(super) fn shape(&self) -> KvShape {
        self.shape
    }

    /// What caches are made of.
    pub(super) fn element(&self) -> TensorElementType {
        match self.element {
            ElementType::Float16 => TensorElementType::Float16,
            ElementType::BFloat16 => TensorElementType::Bfloat16,
            _ => TensorElementType::Float32,
        }
    }

    /// Makes parts of these rows and positions zeros: attention multiplies what it leaves out by zero, and not every number
    /// becomes zero by that.
    pub(super) fn clear(
        &mut self,
        targets: &mut [DynTensor],
        [rows, capacity]: [usize; 2],
    ) -> ort::Result<()> {
        let room = self.room([rows, capacity])?;
        let mut binding = self.clear.create_binding()?;
        binding.bind_input(ROOM, &room)?;
        bind_results(&mut binding, targets)?;
        self.clear.run_binding(&binding)?;
        Ok(())
    }

    /// Fills targets of the given rows and capacity with rows of the sources of another capacity. `sources` and `targets` are
    /// the same parts, at most [`Self::parts`] of them.
    pub(super) fn resize(
        &mut self,
        sources: &[DynTensor],
        targets: &mut [DynTensor],
        [rows, capacity]: [usize; 2],
        moves: &[Move],
    ) -> ort::Result<()> {
        let kept = moves.iter().map(|step| step.positions).max().unwrap_or(0);
        let mut from = vec![0; rows];
        for step in moves {
            from[step.to] = to_i64(step.from);
        }
        let mut binding = self.resize.create_binding()?;
        binding.bind_input(ROWS, &Tensor::from_array(([rows], from))?)?;
        binding.bind_input(KEPT, &Tensor::from_array(([1], vec![to_i64(kept)]))?)?;
        binding.bind_input(ROOM, &self.room([rows, capacity - kept])?)?;
        bind_inputs(&mut binding, SOURCE, sources)?;
        bind_results(&mut binding, targets)?;
        self.resize.run_binding(&binding)?;
        Ok(())
    }

    /// Copies the first positions of a row to those of another cache's row.
    pub(super) fn copy(
        &mut self,
        (sources, from): (&[DynTensor], usize),
        (targets, to): (&mut [DynTensor], usize),
        positions: usize,
    ) -> ort::Result<()> {
        let piece = |row| Piece {
            row,
            start: 0,
            positions,
        };
        let mut binding = self.copy.create_binding()?;
        bind_piece(&mut binding, piece(from))?;
        binding.bind_input(PLACES, &self.places(piece(to))?)?;
        bind_inputs(&mut binding, SOURCE, sources)?;
        bind_inputs(&mut binding, TARGET, targets)?;
        bind_results(&mut binding, targets)?;
        self.copy.run_binding(&binding)?;
        Ok(())
    }

    /// What blocks of the first row have, from a position on, as tensors in `memory`.
    pub(super) fn read(
        &mut self,
        memory: &Allocator,
        sources: &[DynTensor],
        mut start: usize,
        blocks: usize,
    ) -> ort::Result<Vec<DynTensor>> {
        let KvShape {
            heads, head_size, ..
        } = self.shape;
        let size = [sources.len(), heads, BLOCK, head_size];
        let tensor = |_| DynTensor::new(memory, self.element(), size);
        let mut read = (0..blocks).map(tensor).collect::<ort::Result<Vec<_>>>()?;
        let mut left = read.as_mut_slice();
        while !left.is_empty() {
            let (targets, others) = left.split_at_mut(in_one_run(left.len()));
            let session = of_blocks(&mut self.read, targets.len());
            let mut binding = session.create_binding()?;
            let piece = Piece {
                row: 0,
                start,
                positions: targets.len() * BLOCK,
            };
            bind_piece(&mut binding, piece)?;
            bind_inputs(&mut binding, SOURCE, sources)?;
            for (index, target) in targets.iter_mut().enumerate() {
                binding.bind_output(of_part(VALUES, index), target)?;
            }
            session.run_binding(&binding)?;
            start += piece.positions;
            left = others;
        }
        Ok(read)
    }

    /// Puts blocks that [`Self::read`] gave to the beginning of the first row.
    pub(super) fn write(
        &mut self,
        targets: &mut [DynTensor],
        mut blocks: &[&DynTensor],
    ) -> ort::Result<()> {
        let mut start = 0;
        while !blocks.is_empty() {
            let (sources, others) = blocks.split_at(in_one_run(blocks.len()));
            let piece = Piece {
                row: 0,
                start,
                positions: sources.len() * BLOCK,
            };
            let places = self.places(piece)?;
            let session = of_blocks(&mut self.write, sources.len());
            let mut binding = session.create_binding()?;
            for (index, source) in sources.iter().enumerate() {
                binding.bind_input(of_part(VALUES, index), source)?;
            }
            binding.bind_input(PLACES, &places)?;
            bind_inputs(&mut binding, TARGET, targets)?;
            bind_results(&mut binding, targets)?;
            session.run_binding(&binding)?;
            start += piece.positions;
            blocks = others;
        }
        Ok(())
    }

    /// Parts that [`Self::resize`] takes at once.
    pub(super) fn parts(&self) -> usize {
        self.parts
    }

    fn room(&self, [rows, positions]: [usize; 2]) -> ort::Result<Tensor<i64>> {
        let shape = [rows, self.shape.heads, positions, self.shape.head_size];
        Tensor::from_array(([4], shape.map(to_i64).to_vec()))
    }

    fn places(&self, piece: Piece) -> ort::Result<Tensor<i64>> {
        let heads = self.shape.heads;
        let positions = piece.start..piece.start + piece.positions;
        let place = |head, position| [piece.row, head, position].map(to_i64);
        let places = (0..heads).flat_map(|head| {
            let positions = positions.clone();
            positions.flat_map(move |position| place(head, position))
        });
        Tensor::from_array(([1, heads, piece.positions, 3], places.collect::<Vec<_>>()))
    }
}

fn in_one_run(blocks: usize) -> usize {
    if blocks < MANY { 1 } else { MANY }
}

/// What [`in_one_run()`] asks for.
fn of_blocks([one, many]: &mut [Session; 2], blocks: usize) -> &mut Session {
    if blocks == 1 { one } else { many }
}

fn bind_piece(binding: &mut IoBinding, piece: Piece) -> ort::Result<()> {
    let Piece {
        row,
        start,
        positions,
    } = piece;
    let starts = [row, start].map(to_i64).to_vec();
    let ends = [row + 1, start + positions].map(to_i64).to_vec();
    binding.bind_input(STARTS, &Tensor::from_array(([2], starts))?)?;
    binding.bind_input(ENDS, &Tensor::from_array(([2], ends))?)
}

fn bind_inputs(binding: &mut IoBinding, kind: &str, parts: &[DynTensor]) -> ort::Result<()> {
    let mut parts = parts.iter().enumerate();
    parts.try_for_each(|(index, part)| binding.bind_input(of_part(kind, index), part))
}

fn bind_results(binding: &mut IoBinding, parts: &mut [DynTensor]) -> ort::Result<()> {
    let mut parts = parts.iter_mut().enumerate();
    parts.try_for_each(|(index, part)| binding.bind_output(of_part(RESULT, index), part))
}

fn to_i64(size: usize) -> i64 {
    i64::try_from(size).expect("sizes of tensors that exist fit into 63 bits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::runtime::tests::has_runtime;

    const SHAPE: KvShape = KvShape {
        layers: 5,
        heads: 2,
        head_size: 4,
        context_length: 1000,
        number_bytes: 4,
    };
    const PARTS: usize = 10;

    fn parts(copier: &Copier, rows: usize, capacity: usize) -> Vec<DynTensor> {
        let size = [rows, SHAPE.heads, capacity, SHAPE.head_size];
        let part = || DynTensor::new(&Allocator::default(), copier.element(), size);
        (0..PARTS).map(|_| part().expect("memory")).collect()
    }

    /// Blocks whose numbers tell block, part, head, position and place.
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn blocks(count: usize) -> Vec<DynTensor> {
        let size = [PARTS, SHAPE.heads, BLOCK, SHAPE.head_size];
        let block = |number: usize| {
            let values = (0..size.iter().product()).map(|at| (number * 10_000 + at) as f32);
            let mut block = Tensor::<f32>::new(&Allocator::default(), size).expect("memory");
            let places = block.extract_tensor_mut().1.iter_mut();
            places.zip(values).for_each(|(place, value)| *place = value);
            block.upcast()
        };
        (1..=count).map(block).collect()
    }

    fn numbers(blocks: &[DynTensor]) -> Vec<&[f32]> {
        let numbers = blocks.iter().map(|block| block.try_extract_tensor::<f32>());
        numbers.map(|numbers| numbers.expect("floats").1).collect()
    }

    fn check(copier: &mut Copier, cache: &[DynTensor], row: usize, expected: &[DynTensor]) {
        let positions = expected.len() * BLOCK;
        let mut single = parts(copier, 1, positions);
        let outcome = copier.copy((cache, row), (&mut single, 0), positions);
        outcome.expect("copied");
        let read = copier.read(&Allocator::default(), &single, 0, expected.len());
        assert_eq!(numbers(&read.expect("read")), numbers(expected));
    }

    #[test]
    fn conversations_stay_what_they_are_wherever_they_go() {
        if !has_runtime() {
            return;
        }
        let mut copier = Copier::new(SHAPE, ElementType::Float, Device::Cpu).expect("opened");
        assert_eq!(copier.parts(), 5, "half of the cache at once");
        // More than one run takes, and a rest.
        let expected = blocks(MANY + 2);
        let positions = expected.len() * BLOCK;
        let mut first = parts(&copier, 1, positions + 9);
        let written = copier.write(&mut first, &expected.iter().collect::<Vec<_>>());
        written.expect("written");
        check(&mut copier, &first, 0, &expected);
        let last = copier.read(&Allocator::default(), &first, positions - BLOCK, 1);
        assert_eq!(
            numbers(&last.expect("read")),
            numbers(&expected[MANY + 1..])
        );

        let mut batch = parts(&copier, 3, positions);
        copier.clear(&mut batch, [3, positions]).expect("cleared");
        let outcome = copier.copy((&first, 0), (&mut batch, 2), positions);
        outcome.expect("copied");
        check(&mut copier, &batch, 2, &expected);
        let others = copier.read(&Allocator::default(), &batch, 0, 1);
        assert!(
            numbers(&others.expect("read"))[0]
                .iter()
                .all(|number| *number == 0.0)
        );

        let mut larger = parts(&copier, 2, 512);
        let step = Move {
            from: 2,
            to: 1,
            positions,
        };
        for (sources, targets) in batch.chunks(5).zip(larger.chunks_mut(5)) {
            let resized = copier.resize(sources, targets, [2, 512], &[step]);
            resized.expect("resized");
        }
        check(&mut copier, &larger, 1, &expected);
    }
}
