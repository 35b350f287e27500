//! An encoder in ONNX Runtime: token sequences in, rows of numbers out.
//!
//! Graphs of our own importer take the tokens of all sequences one after the other, so that layers compute no padding;
//! only attention sees rows of equal length, and not even that where it is ours. Graphs of others take rows padded to the longest.

use std::{collections::BTreeSet, fmt, path::PathBuf};

use ort::{
    session::{Session, SessionInputValue},
    value::{Tensor, TensorElementType, ValueType},
};
use thiserror::Error;

use super::{Placement, SessionError, SessionOptions, placement};
use crate::encoder::{EncoderDir, Head, Sequence};

/// The inputs of graphs that take padded rows.
const PADDED_INPUTS: [&str; 4] = [
    "input_ids",
    "attention_mask",
    "token_type_ids",
    "position_ids",
];
/// The inputs of graphs that take tokens without padding; `token_type_ids` and `first_index` only where they need them.
pub(crate) const PACKED_INPUTS: [&str; 7] = [
    "input_ids",
    "token_type_ids",
    "position_ids",
    "padded_index",
    "token_index",
    "row_lengths",
    "first_index",
];
/// Where graphs have the vectors of tokens, and, where that is all they have, those of texts.
const VECTORS: [&str; 3] = [
    "last_hidden_state",
    "token_embeddings",
    "sentence_embedding",
];
/// Where classifiers have their scores.
const SCORES: &str = "logits";

/// Why an encoder's graph cannot be used, or fails.
#[derive(Debug, Error)]
pub enum EncoderError {
    /// ONNX Runtime refuses it.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A run of the graph failed.
    #[error("failed to run the model")]
    Run(#[from] ort::Error),
    /// The graph takes or gives something that we do not know.
    #[error("the graph {} {problem}", path.display())]
    Signature {
        /// The graph's file.
        path: PathBuf,
        /// What it is, and what would be right.
        problem: String,
    },
    /// The graph gave something else than it promised.
    #[error(
        "the model gave {found:?} numbers where {expected:?} were expected; import the model again"
    )]
    Shape {
        /// The shape of the output.
        found: Vec<i64>,
        /// What it had to be.
        expected: Vec<usize>,
    },
    /// The graph's result is no number.
    #[error("the model computed no finite number; its weights are damaged")]
    NotFinite,
}

/// A loaded encoder.
pub struct EncoderSession {
    session: Session,
    placement: Placement,
    inputs: BTreeSet<&'static str>,
    is_packed: bool,
    output: String,
    first_position: usize,
}

impl fmt::Debug for EncoderSession {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EncoderSession")
            .field("inputs", &self.inputs)
            .field("output", &self.output)
            .finish_non_exhaustive()
    }
}

impl EncoderSession {
    /// Loads a directory's encoder.
    pub fn load(directory: &EncoderDir, options: SessionOptions) -> Result<Self, EncoderError> {
        let (session, placement) = placement::open_encoder(directory.graph(), options)?;
        let signature = |problem: String| EncoderError::Signature {
            path: directory.graph().to_owned(),
            problem,
        };
        let is_packed = session
            .inputs()
            .iter()
            .any(|input| input.name() == "row_lengths");
        let known: &[&str] = if is_packed {
            &PACKED_INPUTS
        } else {
            &PADDED_INPUTS
        };
        let mut inputs = BTreeSet::new();
        for input in session.inputs() {
            let name = input.name();
            let is_int64 = matches!(
                input.dtype(),
                ValueType::Tensor {
                    ty: TensorElementType::Int64,
                    ..
                }
            );
            match known.iter().find(|known| **known == name) {
                Some(known) if is_packed || is_int64 => inputs.insert(*known),
                _ => {
                    return Err(signature(format!(
                        "has the input {name}; only {}, of 64 bit integers, are known",
                        known.join(", ")
                    )));
                }
            };
        }
        let wanted: &[&str] = match directory.description().head {
            Head::Embedding(_) => &VECTORS,
            Head::Score => &[SCORES],
        };
        let gives = |name: &&&str| session.outputs().iter().any(|out| out.name() == **name);
        let output = wanted
            .iter()
            .find(gives)
            .ok_or_else(|| {
                signature(format!(
                    "has none of the outputs {}; export the model for this task",
                    wanted.join(", ")
                ))
            })?
            .to_string();
        Ok(Self {
            session,
            placement,
            inputs,
            is_packed,
            output,
            first_position: directory.description().first_position,
        })
    }

    /// Where it runs.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Whether layers compute no padding.
    pub(crate) fn is_packed(&self) -> bool {
        self.is_packed
    }

    /// Runs sequences, none of them empty, together. `each` gets the rows of each sequence, one after the other, and how
    /// many numbers a row has.
    pub(crate) fn run<T>(
        &mut self,
        batch: &[&Sequence],
        mut each: impl FnMut(&[f32], usize) -> T,
    ) -> Result<Vec<T>, EncoderError> {
        let layout = Layout::of(batch);
        let inputs = self.inputs(batch, &layout)?;
        let outputs = self.session.run(inputs)?;
        let (shape, values) = outputs[self.output.as_str()].try_extract_tensor::<f32>()?;
        let width = shape
            .last()
            .copied()
            .and_then(|width| usize::try_from(width).ok());
        let width = width.unwrap_or(0);
        let Layout {
            rows,
            longest,
            tokens,
        } = layout;
        // A row a sequence, a row a token, or padded rows.
        let (stride, is_row_a_sequence) = match shape.len() {
            2 if self.is_packed && self.output != SCORES => (None, false),
            2 => (Some(width), true),
            _ => (Some(longest * width), false),
        };
        let expected = match stride {
            None => tokens * width,
            Some(stride) => rows * stride,
        };
        if width == 0 || values.len() != expected {
            return Err(EncoderError::Shape {
                found: shape.to_vec(),
                expected: vec![rows, longest, width],
            });
        }
        let mut at = 0;
        let mut results = Vec::with_capacity(rows);
        for sequence in batch {
            let length = if is_row_a_sequence {
                width
            } else {
                sequence.tokens.len() * width
            };
            let rows = &values[at..at + length];
            if !rows.iter().all(|value| value.is_finite()) {
                return Err(EncoderError::NotFinite);
            }
            results.push(each(rows, width));
            at += stride.unwrap_or(length);
        }
        Ok(results)
    }

    fn inputs(
        &self,
        batch: &[&Sequence],
        layout: &Layout,
    ) -> Result<Vec<(&'static str, SessionInputValue<'static>)>, EncoderError> {
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for &name in &self.inputs {
            let value = if name == "row_lengths" {
                let lengths: Vec<i32> = batch
                    .iter()
                    .map(|sequence| i32::try_from(sequence.tokens.len()).unwrap_or(i32::MAX))
                    .collect();
                Tensor::from_array(([layout.rows], lengths))?.into()
            } else if self.is_packed {
                let (shape, values) = self.packed(name, batch, layout);
                Tensor::from_array((shape, values))?.into()
            } else {
                let values = self.padded(name, batch, layout);
                Tensor::from_array(([layout.rows, layout.longest], values))?.into()
            };
            inputs.push((name, value));
        }
        Ok(inputs)
    }

    fn packed(&self, name: &str, batch: &[&Sequence], layout: &Layout) -> (Vec<usize>, Vec<i64>) {
        let tokens = vec![layout.tokens];
        let all = |values: fn(&Sequence) -> &[u32]| {
            let values = batch.iter().flat_map(|sequence| values(sequence));
            values.map(|&value| value.into()).collect()
        };
        match name {
            "input_ids" => (tokens, all(|sequence| &sequence.tokens)),
            "token_type_ids" => (tokens, all(|sequence| &sequence.types)),
            "position_ids" => (
                tokens,
                batch
                    .iter()
                    .flat_map(|sequence| self.positions(sequence.tokens.len()))
                    .collect(),
            ),
            "token_index" => (tokens, layout.token_index(batch)),
            "first_index" => (vec![layout.rows], first_index(batch)),
            _ => (
                vec![layout.rows, layout.longest],
                layout.padded_index(batch),
            ),
        }
    }

    fn padded(&self, name: &str, batch: &[&Sequence], layout: &Layout) -> Vec<i64> {
        let mut padded = vec![0; layout.rows * layout.longest];
        for (row, sequence) in padded.chunks_exact_mut(layout.longest).zip(batch) {
            match name {
                "input_ids" => fill(row, sequence.tokens.iter().map(|&token| token.into())),
                "token_type_ids" => fill(row, sequence.types.iter().map(|&kind| kind.into())),
                "position_ids" => fill(row, self.positions(sequence.tokens.len())),
                _ => fill(row, sequence.tokens.iter().map(|_| 1)),
            }
        }
        padded
    }

    fn positions(&self, count: usize) -> impl Iterator<Item = i64> + use<> {
        let first = self.first_position;
        (first..first + count).map(to_i64)
    }
}

/// The shape of a batch.
struct Layout {
    rows: usize,
    longest: usize,
    tokens: usize,
}

impl Layout {
    fn of(batch: &[&Sequence]) -> Self {
        let lengths = batch.iter().map(|sequence| sequence.tokens.len());
        Self {
            rows: batch.len(),
            longest: lengths.clone().max().unwrap_or(0),
            tokens: lengths.sum(),
        }
    }

    /// Which token stands at each place of the padded rows; the first one stands where none does.
    fn padded_index(&self, batch: &[&Sequence]) -> Vec<i64> {
        let mut index = vec![0; self.rows * self.longest];
        let mut token = 0;
        for (row, sequence) in index.chunks_exact_mut(self.longest).zip(batch) {
            let count = sequence.tokens.len();
            fill(row, (token..token + count).map(to_i64));
            token += count;
        }
        index
    }

    /// The place of each token in the padded rows.
    fn token_index(&self, batch: &[&Sequence]) -> Vec<i64> {
        let starts = (0..).step_by(self.longest.max(1));
        let places = batch
            .iter()
            .zip(starts)
            .flat_map(|(sequence, start)| start..start + sequence.tokens.len());
        places.map(to_i64).collect()
    }
}

fn first_index(batch: &[&Sequence]) -> Vec<i64> {
    let mut next = 0;
    let mut first = |sequence: &&Sequence| {
        let first = next;
        next += sequence.tokens.len();
        to_i64(first)
    };
    batch.iter().map(&mut first).collect()
}

fn fill(row: &mut [i64], values: impl Iterator<Item = i64>) {
    for (place, value) in row.iter_mut().zip(values) {
        *place = value;
    }
}

fn to_i64(index: usize) -> i64 {
    i64::try_from(index).expect("batches that exist have fewer than 2^63 tokens")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(length: usize) -> Sequence {
        Sequence {
            tokens: vec![7; length],
            types: vec![0; length],
        }
    }

    #[test]
    fn padded_places_and_tokens_find_each_other() {
        let (long, short) = (sequence(3), sequence(1));
        let batch = [&long, &short];
        let layout = Layout::of(&batch);
        assert_eq!(layout.padded_index(&batch), [0, 1, 2, 3, 0, 0]);
        assert_eq!(layout.token_index(&batch), [0, 1, 2, 3]);
        assert_eq!(first_index(&batch), [0, 3]);
        let batch = [&short, &long];
        assert_eq!(layout.token_index(&batch), [0, 3, 4, 5]);
    }
}
