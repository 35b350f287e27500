//! Weights as the product reads them.

use std::{io, num::NonZero, thread};

use super::arena::{Arena, Place};

/// Outputs side by side: one for each number of a register of 512 bits.
pub(super) const COLUMNS: usize = 16;
/// Inputs whose products one instruction adds up, for each output.
pub(super) const QUAD: usize = 4;

/// How large a product's weights are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Size {
    /// `N`
    pub(in super::super) outputs: usize,
    /// `K`, a multiple of `block`.
    pub(in super::super) inputs: usize,
    /// Weights of an output that share a scale and a zero point: a multiple of 16, at most 256.
    pub(in super::super) block: usize,
}

impl Size {
    pub(super) fn blocks(self) -> usize {
        self.inputs / self.block
    }

    pub(super) fn panels(self) -> usize {
        self.outputs.div_ceil(COLUMNS)
    }

    /// What a panel reads of itself, in quads.
    fn quads(self) -> usize {
        self.inputs / QUAD
    }
}

/// Four weights of each of [`COLUMNS`] outputs, output by output: a register, and a line of the cache.
pub(super) type Quad = [u8; QUAD * COLUMNS];
/// A scale of each of [`COLUMNS`] outputs: the bytes of a float each.
pub(super) type Scales = [u8; 4 * COLUMNS];
/// A zero point of each of [`COLUMNS`] outputs.
pub(super) type ZeroPoints = [u8; COLUMNS];

/// Weights of any number of outputs, in panels of [`COLUMNS`]. Outputs that are missing in the last one are zeros.
#[derive(Debug)]
pub(super) struct Panels {
    pub(super) size: Size,
    quads: Place,
    scales: Place,
    zero_points: Place,
}

/// The weights of [`COLUMNS`] outputs: those of the first inputs first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Panel<'a> {
    pub(super) quads: &'a [Quad],
    /// Block by block.
    pub(super) scales: &'a [Scales],
    /// Block by block.
    pub(super) zero_points: &'a [ZeroPoints],
}

impl Panels {
    /// Lays weights out anew that are `[outputs, inputs]`, and their scales, the bytes of a float each, and zero points,
    /// `[outputs, blocks]`, or tells that these are too few.
    pub(super) fn pack(
        arena: &mut Arena,
        size: Size,
        values: &[u8],
        scales: &[u8],
        zero_points: &[u8],
        threads: NonZero<usize>,
    ) -> io::Result<Self> {
        let blocks = size.blocks();
        let numbers = size.outputs * blocks;
        let is_whole = values.len() == size.outputs * size.inputs
            && scales.len() == numbers * size_of::<f32>()
            && zero_points.len() == numbers;
        if !is_whole {
            let problem = "weights, scales and zero points do not fit";
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        let (panels, quads) = (size.panels(), size.quads());
        let packed = Self {
            size,
            quads: arena.reserve(panels * quads * size_of::<Quad>())?,
            scales: arena.reserve(panels * blocks * size_of::<Scales>())?,
            zero_points: arena.reserve(panels * blocks * size_of::<ZeroPoints>())?,
        };
        let part = panels.div_ceil(threads.get());
        let (all, _) = arena.get_mut(packed.quads).as_chunks_mut();
        let parts = all.chunks_mut(part * quads);
        let rows = values.chunks(part * COLUMNS * size.inputs);
        thread::scope(|scope| {
            for (part, rows) in parts.zip(rows) {
                scope.spawn(|| interleave(size, rows, part));
            }
        });
        by_panel::<4>(scales, blocks, arena.get_mut(packed.scales));
        by_panel::<1>(zero_points, blocks, arena.get_mut(packed.zero_points));
        Ok(packed)
    }

    pub(super) fn panel<'a>(&self, arena: &'a Arena, panel: usize) -> Panel<'a> {
        Panel {
            quads: part(arena.get(self.quads), panel, self.size.quads()),
            scales: part(arena.get(self.scales), panel, self.size.blocks()),
            zero_points: part(arena.get(self.zero_points), panel, self.size.blocks()),
        }
    }
}

/// One of some parts of `length` pieces.
fn part<const N: usize>(bytes: &[u8], number: usize, length: usize) -> &[[u8; N]] {
    let (pieces, _) = bytes.as_chunks();
    &pieces[number * length..][..length]
}

/// Puts the weights of some panels into their places.
fn interleave(size: Size, rows: &[u8], quads: &mut [Quad]) {
    let panels = quads.chunks_exact_mut(size.quads());
    for (panel, rows) in panels.zip(rows.chunks(COLUMNS * size.inputs)) {
        for (column, row) in rows.chunks_exact(size.inputs).enumerate() {
            let (row, _) = row.as_chunks();
            for (quad, weights) in panel.iter_mut().zip(row) {
                let (places, _) = quad.as_chunks_mut::<QUAD>();
                places[column] = *weights;
            }
        }
    }
}

/// Puts numbers of `N` bytes, rows of `length`, into their places: one of each of [`COLUMNS`] rows side by side.
fn by_panel<const N: usize>(rows: &[u8], length: usize, places: &mut [u8]) {
    let (rows, _) = rows.as_chunks::<N>();
    let (places, _) = places.as_chunks_mut::<N>();
    for (row, numbers) in rows.chunks_exact(length).enumerate() {
        let first = row / COLUMNS * COLUMNS * length + row % COLUMNS;
        let places = places[first..].iter_mut().step_by(COLUMNS);
        for (place, number) in places.zip(numbers) {
            *place = *number;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_weight_is_where_its_output_and_input_say() {
        let size = Size {
            outputs: 37,
            inputs: 64,
            block: 32,
        };
        let weight = |index: usize| u8::try_from(index * 7 % 251).expect("a byte");
        let values: Vec<u8> = (0..size.outputs * size.inputs).map(weight).collect();
        let scales = (0..74_u8).flat_map(|scale| f32::from(scale).to_le_bytes());
        let scales: Vec<u8> = scales.collect();
        let zero_points: Vec<u8> = (0..74).collect();
        for threads in [1, 2, 8].map(|threads| NonZero::new(threads).expect("some")) {
            let mut arena = Arena::default();
            let packed = Panels::pack(&mut arena, size, &values, &scales, &zero_points, threads);
            let packed = packed.expect("whole");
            for output in 0..size.outputs {
                let panel = packed.panel(&arena, output / COLUMNS);
                let column = output % COLUMNS;
                for input in 0..size.inputs {
                    let quad = &panel.quads[input / QUAD];
                    let expected = weight(output * size.inputs + input);
                    assert_eq!(quad[column * QUAD + input % QUAD], expected);
                }
                for block in 0..size.blocks() {
                    let number = zero_points[output * size.blocks() + block];
                    assert_eq!(panel.zero_points[block][column], number);
                    let (scales, _) = panel.scales[block].as_chunks();
                    assert_eq!(scales[column], f32::from(number).to_le_bytes());
                }
            }
            let last = packed.panel(&arena, 2);
            assert!(last.quads.iter().all(|quad| quad[5 * QUAD..] == [0; 44]));
            assert!(last.scales.iter().all(|scales| scales[20..] == [0; 44]));
        }
    }

    #[test]
    fn too_few_numbers_are_told() {
        let size = Size {
            outputs: 2,
            inputs: 32,
            block: 16,
        };
        let is_whole = |values: &[u8], scales: &[u8], zero_points: &[u8]| {
            let mut arena = Arena::default();
            let threads = NonZero::<usize>::MIN;
            Panels::pack(&mut arena, size, values, scales, zero_points, threads).is_ok()
        };
        assert!(is_whole(&[0; 64], &[0; 16], &[0; 4]));
        assert!(!is_whole(&[0; 63], &[0; 16], &[0; 4]));
        assert!(!is_whole(&[0; 64], &[0; 12], &[0; 4]));
        assert!(!is_whole(&[0; 64], &[0; 16], &[0; 2]));
    }
}
