//! Attention of texts whose tokens follow each other, each token to all of its own text.

use std::cell::RefCell;

use ort::{
    operator::{ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput},
    value::TensorElementType,
};
use pulp::Arch;

use super::{input, wrong};
use crate::session::operators::attention::{LANES, MOST, Rows, apart, locked};

pub(super) const NAME: &str = "TextAttention";
/// Products of numbers that take less time than to tell another thread of them, about ten microseconds.
const ALONE: usize = 1 << 17;

thread_local! {
    /// Memory of a task. Each thread of a session's pool keeps its own.
    static ROOM: RefCell<Room> = RefCell::default();
}

/// The operator.
pub(super) struct TextAttention;

impl Operator for TextAttention {
    type Kernel<'attr> = Attention;

    fn name(&self) -> &str {
        NAME
    }

    /// Queries, keys and values of each token joined, `[tokens, 3 * width]`, what is added to each, and the lengths of the
    /// texts.
    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [
            OperatorInput::required(TensorElementType::Float32),
            OperatorInput::required(TensorElementType::Float32),
            OperatorInput::required(TensorElementType::Int32),
        ]
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn create_kernel(&self, context: &KernelContext<'_>) -> ort::Result<Attention> {
        let heads: Option<i64> = context.get("num_heads");
        let heads = heads.and_then(|heads| usize::try_from(heads).ok());
        let heads = heads.filter(|heads| *heads > 0);
        Ok(Attention {
            heads: heads.ok_or_else(|| wrong(NAME, "it needs the attribute num_heads"))?,
            arch: Arch::new(),
        })
    }
}

pub(super) struct Attention {
    heads: usize,
    arch: Arch,
}

#[derive(Default)]
struct Room {
    queries: Vec<f32>,
    /// [`LANES`] keys side by side, number by number.
    keys: Vec<f32>,
    values: Vec<f32>,
    scores: Vec<f32>,
}

impl Kernel for Attention {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let (joined, bias) = (input(context, NAME, 0)?, input(context, NAME, 1)?);
        let lengths = input(context, NAME, 2)?;
        let (_, joined) = joined.try_extract_tensor::<f32>()?;
        let (_, bias) = bias.try_extract_tensor::<f32>()?;
        let (_, lengths) = lengths.try_extract_tensor::<i32>()?;
        let width = bias.len() / 3;
        let texts = texts(lengths);
        let tokens = texts.last().map_or(0, |text| text.start + text.length);
        let fits = width > 0
            && bias.len() == 3 * width
            && width.is_multiple_of(self.heads)
            && joined.len() == tokens * 3 * width;
        if !fits {
            return Err(wrong(NAME, "its inputs do not fit"));
        }
        let shape = [tokens, width].map(|size| i64::try_from(size).unwrap_or(i64::MAX));
        let output = context.output(0, shape)?;
        let mut output = output.ok_or_else(|| wrong(NAME, "it has no output"))?;
        let (_, output) = output.try_extract_tensor_mut::<f32>()?;
        let outputs = apart(output, width / self.heads);
        let task = |number: usize| {
            let (text, head) = (texts[number / self.heads], number % self.heads);
            let outputs = outputs[text.start * self.heads + head..].iter();
            let outputs = outputs.step_by(self.heads).take(text.length);
            let mut outputs: Vec<_> = outputs.map(locked).collect();
            let mut outputs: Vec<&mut [f32]> =
                outputs.iter_mut().map(|output| &mut ***output).collect();
            ROOM.with_borrow_mut(|room| {
                room.fill(joined, bias, text, [self.heads, head]);
                room.attend(self.arch, text.length, &mut outputs);
            });
        };
        let count = texts.len() * self.heads;
        let work: usize = texts.iter().map(|text| text.length * text.length).sum();
        if work * width <= ALONE {
            (0..count).for_each(task);
            return Ok(());
        }
        context.par_for(count, 0, task)
    }
}

/// Where a text's tokens are.
#[derive(Clone, Copy)]
struct Text {
    start: usize,
    length: usize,
}

/// Texts, one after the other.
fn texts(lengths: &[i32]) -> Vec<Text> {
    let next = |start: &mut usize, length: &i32| {
        let text = Text {
            start: *start,
            length: usize::try_from(*length).unwrap_or(0),
        };
        *start += text.length;
        Some(text)
    };
    lengths.iter().scan(0, next).collect()
}

impl Room {
    /// Takes over a head's part of a text. Keys are without their bias: it moves all scores of a query by the same.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a head has some hundred numbers"
    )]
    fn fill(&mut self, joined: &[f32], bias: &[f32], text: Text, [heads, head]: [usize; 2]) {
        let width = bias.len() / 3;
        let size = width / heads;
        let scale = (size as f32).sqrt().recip();
        self.queries.clear();
        self.values.clear();
        self.keys.clear();
        let blocks = text.length.div_ceil(LANES);
        self.keys.resize(blocks * LANES * size, 0.0);
        let part = |part: usize| part * width + head * size..part * width + (head + 1) * size;
        let [queries, keys, values] = [0, 1, 2].map(part);
        let rows = joined[text.start * 3 * width..].chunks_exact(3 * width);
        for (token, row) in rows.take(text.length).enumerate() {
            let query = row[queries.clone()].iter().zip(&bias[queries.clone()]);
            self.queries
                .extend(query.map(|(number, bias)| (number + bias) * scale));
            let value = row[values.clone()].iter().zip(&bias[values.clone()]);
            self.values
                .extend(value.map(|(number, bias)| number + bias));
            let start = token / LANES * LANES * size + token % LANES;
            let places = self.keys[start..].iter_mut().step_by(LANES);
            for (place, number) in places.zip(&row[keys.clone()]) {
                *place = *number;
            }
        }
    }

    fn attend(&mut self, arch: Arch, tokens: usize, outputs: &mut [&mut [f32]]) {
        let Self {
            queries,
            keys,
            values,
            scores,
        } = self;
        let size = queries.len() / tokens.max(1);
        let queries: Vec<_> = queries
            .chunks_exact(size.max(1))
            .map(|one| (one, tokens))
            .collect();
        for (queries, outputs) in queries.chunks(MOST).zip(outputs.chunks_mut(MOST)) {
            arch.dispatch(Rows {
                keys,
                values,
                queries,
                outputs,
                scores,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_attends_to_all_of_its_text_and_to_no_other() {
        const HEADS: usize = 2;
        const SIZE: usize = 5;
        const WIDTH: usize = HEADS * SIZE;
        let numbers = |count: usize, factor: f32| -> Vec<f32> {
            let numbers = (0..251_u8).cycle().map(|number| f32::from(number) - 125.0);
            numbers.take(count).map(|number| number * factor).collect()
        };
        let (joined, bias) = (numbers(25 * 3 * WIDTH, 0.01), numbers(3 * WIDTH, 0.003));
        for text in texts(&[18, 7]) {
            for head in 0..HEADS {
                let mut room = Room::default();
                room.fill(&joined, &bias, text, [HEADS, head]);
                let mut found = vec![0.0; text.length * SIZE];
                let mut outputs: Vec<_> = found.chunks_exact_mut(SIZE).collect();
                room.attend(Arch::new(), text.length, &mut outputs);
                let number = |token: usize, part: usize, at: usize| {
                    let place = part * WIDTH + head * SIZE + at;
                    let row = (text.start + token) * 3 * WIDTH;
                    f64::from(joined[row + place]) + f64::from(bias[place])
                };
                for token in 0..text.length {
                    let score = |other: usize| {
                        let pairs = (0..SIZE).map(|at| number(token, 0, at) * number(other, 1, at));
                        (pairs.sum::<f64>() / 5.0_f64.sqrt()).exp()
                    };
                    let total: f64 = (0..text.length).map(score).sum();
                    for at in 0..SIZE {
                        let sum = (0..text.length).map(|other| score(other) * number(other, 2, at));
                        let expected = sum.sum::<f64>() / total;
                        let found = f64::from(found[token * SIZE + at]);
                        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
                    }
                }
            }
        }
    }
}
