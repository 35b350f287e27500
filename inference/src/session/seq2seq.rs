//! A sequence-to-sequence model in ONNX Runtime: a text is read once, and an answer to it computed token by token.
//!
//! The graphs are Optimum's: an encoder, and a decoder as one file with both branches, as two files (for the first token
//! and for all others), or, from our own importer, as one file whose cache is empty at first.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use ort::{
    memory::Allocator,
    session::{Session, SessionInputValue},
    value::{DynValue, Outlet, Tensor, TensorElementType, ValueType},
};

use super::{EncoderError, Placement, SessionOptions, placement};

/// The encoder's file.
pub(crate) const ENCODER_FILE: &str = "encoder_model.onnx";
/// The decoder's file, or the one for its first token.
pub(crate) const DECODER_FILE: &str = "decoder_model.onnx";
/// The decoder's file for all tokens but the first.
pub(crate) const NEXT_FILE: &str = "decoder_with_past_model.onnx";
/// The decoder's file with both.
pub(crate) const MERGED_FILE: &str = "decoder_model_merged.onnx";

/// A loaded model that answers one text at a time.
pub(crate) struct Seq2SeqSession {
    encoder: Session,
    first: Session,
    next: Option<Session>,
    placement: Placement,
    hidden: Option<DynValue>,
    cache: BTreeMap<String, DynValue>,
    source_length: usize,
    logits: Vec<f32>,
}

impl fmt::Debug for Seq2SeqSession {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Seq2SeqSession")
            .field("source_length", &self.source_length)
            .finish_non_exhaustive()
    }
}

/// The graphs of a directory that are loaded.
pub(crate) fn graphs(directory: &Path) -> Vec<PathBuf> {
    let merged = directory.join(MERGED_FILE);
    let decoders: &[&str] = if merged.is_file() {
        &[MERGED_FILE]
    } else {
        &[DECODER_FILE, NEXT_FILE]
    };
    let files = std::iter::once(&ENCODER_FILE).chain(decoders);
    files.map(|file| directory.join(file)).collect()
}

impl Seq2SeqSession {
    /// Loads the graphs in a directory.
    pub(crate) fn load(directory: &Path, options: SessionOptions) -> Result<Self, EncoderError> {
        let open = |file: &str| {
            let path = directory.join(file);
            let (session, placement) = placement::open(&path, options)?;
            check(&path, &session)?;
            Ok::<_, EncoderError>((session, placement))
        };
        let (encoder, placement) = open(ENCODER_FILE)?;
        let merged = directory.join(MERGED_FILE);
        let (first, next) = if merged.is_file() {
            (open(MERGED_FILE)?.0, None)
        } else {
            let next = directory.join(NEXT_FILE);
            let next = next.is_file().then(|| open(NEXT_FILE)).transpose()?;
            let first = open(DECODER_FILE)?.0;
            if next.is_none() && !first.inputs().iter().any(|input| is_past(input.name())) {
                return Err(EncoderError::Signature {
                    path: directory.join(DECODER_FILE),
                    problem: format!(
                        "takes no cache, and {NEXT_FILE} is not there; export the model with its cache"
                    ),
                });
            }
            (first, next.map(|(session, _)| session))
        };
        Ok(Self {
            encoder,
            first,
            next,
            placement,
            hidden: None,
            cache: BTreeMap::new(),
            source_length: 0,
            logits: Vec::new(),
        })
    }

    /// Where it runs.
    pub(crate) fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Reads a text, and forgets the one before.
    pub(crate) fn read(&mut self, tokens: &[u32]) -> Result<(), EncoderError> {
        self.cache.clear();
        self.source_length = tokens.len();
        let mut inputs: Vec<(String, SessionInputValue<'_>)> = Vec::new();
        for input in self.encoder.inputs() {
            let value = match input.name() {
                "input_ids" => row(tokens)?,
                _ => ones(tokens.len())?,
            };
            inputs.push((input.name().to_owned(), value.into()));
        }
        let mut outputs = self.encoder.run(inputs)?;
        let names: Vec<String> = outputs.keys().map(str::to_owned).collect();
        for name in names {
            let Some(value) = outputs.remove(&name) else {
                continue;
            };
            if let Some(past) = past_of(&name) {
                self.cache.insert(past, value);
            } else if name == "last_hidden_state" {
                self.hidden = Some(value);
            }
        }
        Ok(())
    }

    /// Adds a token to the answer, and returns the logits of what follows it.
    pub(crate) fn forward(&mut self, token: u32, is_first: bool) -> Result<&[f32], EncoderError> {
        let session = match &mut self.next {
            Some(next) if !is_first => next,
            _ => &mut self.first,
        };
        let mut inputs: Vec<(String, SessionInputValue<'_>)> = Vec::new();
        for input in session.inputs() {
            let name = input.name();
            let value: SessionInputValue<'_> = match name {
                "input_ids" => row(&[token])?.into(),
                "encoder_attention_mask" => ones(self.source_length)?.into(),
                "use_cache_branch" => Tensor::from_array(([1], vec![!is_first]))?.into(),
                "encoder_hidden_states" => {
                    let hidden = self.hidden.as_ref().ok_or(EncoderError::NotFinite)?;
                    hidden.into()
                }
                past => match self.cache.get(past) {
                    Some(value) => value.into(),
                    None => nothing(input.dtype())?.into(),
                },
            };
            inputs.push((name.to_owned(), value));
        }
        let mut outputs = session.run(inputs)?;
        let names: Vec<String> = outputs.keys().map(str::to_owned).collect();
        let mut kept = Vec::new();
        for name in names {
            let Some(value) = outputs.remove(&name) else {
                continue;
            };
            if name == "logits" {
                let (shape, values) = value.try_extract_tensor::<f32>()?;
                let width = shape.last().and_then(|width| usize::try_from(*width).ok());
                let start = values.len().saturating_sub(width.unwrap_or(values.len()));
                self.logits.clear();
                self.logits.extend_from_slice(&values[start..]);
            } else if let Some(past) = past_of(&name)
                // What the encoder said does not change, and a merged graph gives nothing for it after the first token.
                && (is_first || !past.contains(".encoder."))
            {
                kept.push((past, value));
            }
        }
        drop(outputs);
        self.cache.extend(kept);
        if self.logits.iter().all(|logit| logit.is_nan()) {
            return Err(EncoderError::NotFinite);
        }
        Ok(&self.logits)
    }
}

fn check(path: &Path, session: &Session) -> Result<(), EncoderError> {
    const KNOWN: [&str; 5] = [
        "input_ids",
        "attention_mask",
        "encoder_attention_mask",
        "encoder_hidden_states",
        "use_cache_branch",
    ];
    let unknown = session
        .inputs()
        .iter()
        .map(Outlet::name)
        .find(|name| !KNOWN.contains(name) && !is_past(name));
    match unknown {
        None => Ok(()),
        Some(name) => Err(EncoderError::Signature {
            path: path.to_owned(),
            problem: format!(
                "has the input {name}; only {} and past_key_values are known",
                KNOWN.join(", ")
            ),
        }),
    }
}

fn is_past(name: &str) -> bool {
    name.starts_with("past_key_values.")
}

/// The input that takes an output of the run before.
fn past_of(output: &str) -> Option<String> {
    let rest = output.strip_prefix("present.")?;
    Some(format!("past_key_values.{rest}"))
}

fn row(tokens: &[u32]) -> Result<Tensor<i64>, ort::Error> {
    let tokens: Vec<i64> = tokens.iter().map(|&token| token.into()).collect();
    Tensor::from_array(([1, tokens.len()], tokens))
}

fn ones(count: usize) -> Result<Tensor<i64>, ort::Error> {
    Tensor::from_array(([1, count], vec![1; count]))
}

/// A cache of no token.
fn nothing(kind: &ValueType) -> Result<DynValue, ort::Error> {
    let shape = match kind {
        ValueType::Tensor {
            ty: TensorElementType::Float32,
            shape,
            ..
        } => shape.to_vec(),
        _ => Vec::new(),
    };
    let sizes = shape.iter().enumerate().map(|(axis, &size)| match axis {
        2 => 0,
        _ => usize::try_from(size).unwrap_or(1),
    });
    let sizes: Vec<usize> = sizes.collect();
    Ok(Tensor::<f32>::new(&Allocator::default(), sizes)?.into_dyn())
}
