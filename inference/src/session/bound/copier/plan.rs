//! The graphs that move what is in attention caches. Each takes a few parts of a cache, a part being the keys or the values
//! of one layer, `[rows, heads, capacity, head size]`.

use prost::Message as _;

use crate::{
    import::onnx::{
        ElementType, Operator, STANDARD, Setting, Size,
        message::{Graph, Tensor, ValueInfo},
        model, node, value_info,
    },
    kv_cache::{BLOCK, KvShape},
};

/// Rows of other caches, or of the same.
pub(super) const SOURCE: &str = "source";
/// What is written to, in place.
pub(super) const TARGET: &str = "target";
/// What a target is afterwards.
pub(super) const RESULT: &str = "result";
/// A block's positions in all parts, `[parts, heads, positions, head size]`.
pub(super) const VALUES: &str = "values";
/// The row of the source for each row of the result.
pub(super) const ROWS: &str = "rows";
/// How many of the first positions stay.
pub(super) const KEPT: &str = "kept";
/// The shape of what nothing is known of.
pub(super) const ROOM: &str = "room";
/// First row and position of a piece.
pub(super) const STARTS: &str = "starts";
/// The row and the position behind a piece.
pub(super) const ENDS: &str = "ends";
/// Row, head and position of each vector of a piece in the target, `[1, heads, positions, 3]`.
pub(super) const PLACES: &str = "places";

const ZERO: &str = "zero";
const FIRST: &str = "first";
const ROW_AND_POSITION: &str = "row_and_position";
const POSITION: &str = "position";
/// The dimensions of [`VALUES`].
const PARTS: i64 = 0;
const POSITIONS: i64 = 2;

/// The name of a part's, or a block's, input or output.
pub(super) fn of_part(kind: &str, part: usize) -> String {
    format!("{kind}.{part}")
}

/// Writes one graph.
pub(super) struct Plan {
    graph: Graph,
    shape: KvShape,
    element: ElementType,
    parts: usize,
}

impl Plan {
    pub(super) fn new(shape: KvShape, element: ElementType, parts: usize) -> Self {
        Self {
            graph: Graph {
                name: "caches".to_owned(),
                ..Graph::default()
            },
            shape,
            element,
            parts,
        }
    }

    /// Zeros of the shape [`ROOM`].
    pub(super) fn clear(mut self) -> Vec<u8> {
        self.declare_room();
        for part in 0..self.parts {
            let result = self.result(part);
            self.compute("Expand", &[ZERO, ROOM], &result);
        }
        self.finish()
    }

    /// Other rows with another capacity.
    pub(super) fn resize(mut self) -> Vec<u8> {
        self.integers(ROWS, &[Size::Named("rows")]);
        self.integers(KEPT, &[Size::Fixed(1)]);
        self.constant(FIRST, &[0]);
        self.constant(POSITION, &[2]);
        self.declare_room();
        self.compute("Expand", &[ZERO, ROOM], "filler");
        for part in 0..self.parts {
            let [rows, kept] = ["rows_of", "kept_of"].map(|kind| of_part(kind, part));
            let (source, result) = (self.source(part), self.result(part));
            self.compute("Gather", &[&source, ROWS], &rows);
            self.compute("Slice", &[&rows, FIRST, KEPT, POSITION], &kept);
            let settings = [("axis", Setting::Int(2))];
            self.operator("Concat", &[&kept, "filler"], &[&result], &settings);
        }
        self.finish()
    }

    /// A piece of the source to other places of the target.
    pub(super) fn copy(mut self) -> Vec<u8> {
        self.declare_places();
        self.declare_piece();
        for part in 0..self.parts {
            let piece = self.piece(part);
            self.put(part, &piece);
        }
        self.finish()
    }

    /// A piece of the source to so many [`VALUES`], one after the other.
    pub(super) fn read(mut self, blocks: usize) -> Vec<u8> {
        self.declare_piece();
        let pieces: Vec<String> = (0..self.parts).map(|part| self.piece(part)).collect();
        self.join(&pieces, "joined", PARTS);
        let values = self.values(blocks);
        let names: Vec<String> = values.iter().map(|value| value.name.clone()).collect();
        self.graph.outputs.extend(values);
        self.split("joined", &names, POSITIONS);
        self.finish()
    }

    /// So many [`VALUES`] to places of the target.
    pub(super) fn write(mut self, blocks: usize) -> Vec<u8> {
        let values = self.values(blocks);
        let names: Vec<String> = values.iter().map(|value| value.name.clone()).collect();
        self.graph.inputs.extend(values);
        self.declare_places();
        self.join(&names, "joined", POSITIONS);
        let pieces: Vec<String> = (0..self.parts).map(|part| of_part("piece", part)).collect();
        self.split("joined", &pieces, PARTS);
        for (part, piece) in pieces.iter().enumerate() {
            self.put(part, piece);
        }
        self.finish()
    }

    fn join(&mut self, names: &[String], joined: &str, axis: i64) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.operator("Concat", &names, &[joined], &[("axis", Setting::Int(axis))]);
    }

    fn split(&mut self, joined: &str, names: &[String], axis: i64) {
        let count = i64::try_from(names.len()).unwrap_or(i64::MAX);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let settings = [
            ("axis", Setting::Int(axis)),
            ("num_outputs", Setting::Int(count)),
        ];
        self.operator("Split", &[joined], &names, &settings);
    }

    fn values(&self, blocks: usize) -> Vec<ValueInfo> {
        let shape = [
            Size::Fixed(self.parts),
            Size::Fixed(self.shape.heads),
            Size::Fixed(BLOCK),
            Size::Fixed(self.shape.head_size),
        ];
        let value = |block| value_info(&of_part(VALUES, block), self.element, &shape);
        (0..blocks).map(value).collect()
    }

    fn declare_room(&mut self) {
        self.integers(ROOM, &[Size::Fixed(4)]);
        self.graph.constants.push(Tensor {
            dimensions: vec![1],
            element_type: self.element.number(),
            name: ZERO.to_owned(),
            raw_data: vec![0; self.element.bytes()],
            ..Tensor::default()
        });
    }

    fn declare_piece(&mut self) {
        self.integers(STARTS, &[Size::Fixed(2)]);
        self.integers(ENDS, &[Size::Fixed(2)]);
        self.constant(ROW_AND_POSITION, &[0, 2]);
    }

    /// A piece of a part of the source, `[1, heads, positions, head size]`.
    fn piece(&mut self, part: usize) -> String {
        let (source, piece) = (self.source(part), of_part("piece", part));
        self.compute("Slice", &[&source, STARTS, ENDS, ROW_AND_POSITION], &piece);
        piece
    }

    fn declare_places(&mut self) {
        let shape = [
            Size::Fixed(1),
            Size::Fixed(self.shape.heads),
            Size::Named("positions"),
            Size::Fixed(3),
        ];
        self.integers(PLACES, &shape);
    }

    /// Puts a piece to its places in a part of the target. What it gives is bound to the target's own memory.
    fn put(&mut self, part: usize, piece: &str) {
        let target = self.part(TARGET, part, ["target_rows", "target_capacity"]);
        self.graph.inputs.push(target.clone());
        let result = self.result(part);
        self.compute("ScatterND", &[&target.name, PLACES, piece], &result);
    }

    fn source(&mut self, part: usize) -> String {
        let source = self.part(SOURCE, part, ["source_rows", "source_capacity"]);
        let name = source.name.clone();
        self.graph.inputs.push(source);
        name
    }

    fn result(&mut self, part: usize) -> String {
        let result = self.part(RESULT, part, ["result_rows", "result_capacity"]);
        let name = result.name.clone();
        self.graph.outputs.push(result);
        name
    }

    fn part(&self, kind: &str, part: usize, [rows, capacity]: [&'static str; 2]) -> ValueInfo {
        let shape = [
            Size::Named(rows),
            Size::Fixed(self.shape.heads),
            Size::Named(capacity),
            Size::Fixed(self.shape.head_size),
        ];
        value_info(&of_part(kind, part), self.element, &shape)
    }

    fn integers(&mut self, name: &str, shape: &[Size]) {
        let input = value_info(name, ElementType::Int64, shape);
        self.graph.inputs.push(input);
    }

    fn constant(&mut self, name: &str, values: &[i64]) {
        self.graph.constants.push(Tensor {
            dimensions: vec![i64::try_from(values.len()).unwrap_or(i64::MAX)],
            element_type: ElementType::Int64.number(),
            name: name.to_owned(),
            raw_data: values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
            ..Tensor::default()
        });
    }

    fn compute(&mut self, kind: &str, inputs: &[&str], output: &str) {
        self.operator(kind, inputs, &[output], &[]);
    }

    fn operator(
        &mut self,
        kind: &str,
        inputs: &[&str],
        outputs: &[&str],
        settings: &[(&str, Setting)],
    ) {
        self.graph.nodes.push(node(&Operator {
            kind,
            domain: STANDARD,
            inputs,
            outputs,
            settings,
        }));
    }

    fn finish(self) -> Vec<u8> {
        model(self.graph).encode_to_vec()
    }
}
