//! Moves what is in attention caches, wherever they lie: by graphs that run on the device that the caches are on.

mod plan;

use ort::{
    memory::MemoryInfo,
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

/// Moves what is in the caches of one model.
pub(in crate::session) struct Mover {
    shape: KvShape,
    element: ElementType,
    /// Parts that [`Self::resize`] takes at once, of which the cache has a multiple.
    parts: usize,
    clear: Session,
    resize: Session,
    copy: Session,
    read: Session,
    write: Session,
}

/// Some positions of a row.
#[derive(Clone, Copy)]
struct Piece {
    row: usize,
    start: usize,
    positions: usize,
}

impl Mover {
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
            read: open(Plan::read, all)?,
            write: open(Plan::write, all)?,
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

    /// What blocks of the first row have, from a position on: part by part, head by head.
    pub(super) fn read(
        &mut self,
        sources: &[DynTensor],
        start: usize,
        blocks: usize,
    ) -> ort::Result<Vec<Box<[f32]>>> {
        let piece = Piece {
            row: 0,
            start,
            positions: blocks * BLOCK,
        };
        let mut binding = self.read.create_binding()?;
        bind_piece(&mut binding, piece)?;
        bind_inputs(&mut binding, SOURCE, sources)?;
        binding.bind_output_to_device(VALUES, &MemoryInfo::default())?;
        let outputs = self.read.run_binding(&binding)?;
        let values = outputs[VALUES].try_extract_tensor::<f32>()?.1;
        let mut read = vec![Vec::with_capacity(self.shape.values(BLOCK)); blocks];
        for head in values.chunks_exact(piece.positions * self.shape.head_size) {
            let pieces = head.chunks_exact(BLOCK * self.shape.head_size);
            for (block, values) in read.iter_mut().zip(pieces) {
                block.extend_from_slice(values);
            }
        }
        Ok(read.into_iter().map(Vec::into_boxed_slice).collect())
    }

    /// Puts blocks that [`Self::read`] gave to the beginning of the first row.
    pub(super) fn write(
        &mut self,
        targets: &mut [DynTensor],
        blocks: &[&[f32]],
    ) -> ort::Result<()> {
        if blocks.is_empty() {
            return Ok(());
        }
        let KvShape {
            layers,
            heads,
            head_size,
            ..
        } = self.shape;
        let piece = Piece {
            row: 0,
            start: 0,
            positions: blocks.len() * BLOCK,
        };
        let in_block = BLOCK * head_size;
        let mut values = Vec::with_capacity(self.shape.values(piece.positions));
        for head in 0..layers * 2 * heads {
            for block in blocks {
                values.extend_from_slice(&block[head * in_block..][..in_block]);
            }
        }
        let shape = [layers * 2, heads, piece.positions, head_size];
        let mut binding = self.write.create_binding()?;
        binding.bind_input(VALUES, &Tensor::from_array((shape, values))?)?;
        binding.bind_input(PLACES, &self.places(piece)?)?;
        bind_inputs(&mut binding, TARGET, targets)?;
        bind_results(&mut binding, targets)?;
        self.write.run_binding(&binding)?;
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
    use ort::memory::Allocator;
    use rstest::rstest;

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

    fn parts(mover: &Mover, rows: usize, capacity: usize) -> Vec<DynTensor> {
        let size = [rows, SHAPE.heads, capacity, SHAPE.head_size];
        let part = || DynTensor::new(&Allocator::default(), mover.element(), size);
        (0..PARTS).map(|_| part().expect("memory")).collect()
    }

    /// A block whose numbers tell part, head, position and place, exactly in 16 bits, too.
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn block(number: usize) -> Vec<f32> {
        let heads = PARTS * SHAPE.heads;
        let values = (0..heads * BLOCK * SHAPE.head_size).map(|at| at % 2039 + number);
        values.map(|value| value as f32).collect()
    }

    fn first_blocks(mover: &mut Mover, cache: &[DynTensor], row: usize) -> Vec<Box<[f32]>> {
        let mut single = parts(mover, 1, 2 * BLOCK);
        let copied = mover.copy((cache, row), (&mut single, 0), 2 * BLOCK);
        copied.expect("copied");
        mover.read(&single, 0, 2).expect("read")
    }

    #[rstest]
    #[case(ElementType::Float)]
    #[case(ElementType::Float16)]
    fn conversations_stay_what_they_are_wherever_they_go(#[case] element: ElementType) {
        if !has_runtime() {
            return;
        }
        let mut mover = Mover::new(SHAPE, element, Device::Cpu).expect("opened");
        assert_eq!(mover.parts(), 5, "half of the cache at once");
        let (one, two) = (block(1), block(5));
        let mut first = parts(&mover, 1, 100);
        mover.write(&mut first, &[&one, &two]).expect("written");
        assert_eq!(
            mover.read(&first, BLOCK, 1).expect("read"),
            [two.clone().into_boxed_slice()]
        );

        let mut batch = parts(&mover, 3, 80);
        mover.clear(&mut batch, [3, 80]).expect("cleared");
        let copied = mover.copy((&first, 0), (&mut batch, 2), 2 * BLOCK);
        copied.expect("copied");
        assert_eq!(
            first_blocks(&mut mover, &batch, 2),
            [&*one, &*two].map(Box::from)
        );
        let nothing = first_blocks(&mut mover, &batch, 1);
        assert!(nothing.iter().flatten().all(|number| *number == 0.0));

        let mut larger = parts(&mover, 2, 128);
        let step = Move {
            from: 2,
            to: 0,
            positions: 2 * BLOCK,
        };
        for (sources, targets) in batch.chunks(5).zip(larger.chunks_mut(5)) {
            let resized = mover.resize(sources, targets, [2, 128], &[step]);
            resized.expect("resized");
        }
        assert_eq!(
            first_blocks(&mut mover, &larger, 0),
            [&*one, &*two].map(Box::from)
        );
    }
}
