//! A loaded encoder and its thread: what embedders and rerankers have in common.

use std::{path::Path, sync::Arc};

use thiserror::Error;

use super::{
    Description, EncoderDir, EncoderDirError, EncoderTokenizer, Head, Pooling, Sequence, normalize,
};
use crate::{
    batching::{Batcher, Costs, Done, Refused, Request, RunSequences},
    chat_model::LoadOptions,
    chat_request::Cancellation,
    session::{EncoderError, EncoderSession, Placement, SessionOptions},
    tokenizer::{EncodeError, TokenizerLoadError},
};

/// Inputs of one request, as the OpenAI API has it.
const MOST_INPUTS: usize = 2048;

/// Why an encoder could not be loaded.
#[derive(Debug, Error)]
pub enum EncoderLoadError {
    /// The directory is no usable encoder.
    #[error("failed to open the model directory")]
    Directory(#[from] EncoderDirError),
    /// The tokenizer is no usable tokenizer.
    #[error("failed to load the model's tokenizer")]
    Tokenizer(#[from] TokenizerLoadError),
    /// The tokenizer belongs to another model.
    #[error(
        "the tokenizer has {tokenizer} tokens, and the model {model}; download the model again"
    )]
    VocabularyMismatch {
        /// The tokenizer's tokens.
        tokenizer: usize,
        /// The model's tokens.
        model: usize,
    },
    /// The model is for something else.
    #[error("the model {name} {is}; give it another task, or choose another model")]
    WrongTask {
        /// The model's name.
        name: String,
        /// What it is for.
        is: &'static str,
    },
    /// Longer inputs than the model takes.
    #[error("the context length {wanted} is not possible: choose 1 to {longest}")]
    ContextLength {
        /// What was asked for.
        wanted: usize,
        /// What the model was trained for.
        longest: usize,
    },
    /// The graph does not load, or fails its first run.
    #[error("failed to start the model")]
    Session(#[from] EncoderError),
    /// The first text could not be turned into tokens.
    #[error("failed to try the model's tokenizer")]
    Encode(#[from] EncodeError),
    /// The operating system gives no thread.
    #[error("failed to start the model's thread")]
    Thread(#[source] std::io::Error),
}

/// Why inputs were not accepted.
#[derive(Debug, Error)]
pub enum InputError {
    /// Too many requests wait already.
    #[error("the model is busy and {waiting} requests wait for it already; try again later")]
    QueueFull {
        /// The requests that wait.
        waiting: usize,
    },
    /// An input has more tokens than the model takes.
    #[error("{field} has {tokens} tokens, and the model takes {limit}; shorten it")]
    TooLong {
        /// The input.
        field: String,
        /// Its tokens.
        tokens: usize,
        /// The most tokens of one input.
        limit: usize,
    },
    /// A value that cannot be what it is.
    #[error("{field} {problem}")]
    Invalid {
        /// The field's name in the API.
        field: String,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// The tokenizer fails on an input.
    #[error("failed to turn a text into tokens")]
    Encode(#[from] EncodeError),
    /// The model was closed.
    #[error("the model was unloaded; send the request again")]
    Closed,
}

/// What is known of a loaded encoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncoderInfo {
    /// The model's own name.
    pub name: String,
    /// The most tokens of one input, special ones included.
    pub max_tokens: usize,
    /// Numbers of a vector; 1 where it is a score.
    pub width: usize,
    /// Where it runs: `Cpu` or `Cuda`.
    pub device: String,
    /// Why it does not run on a GPU, when it was to do so if possible.
    pub device_reason: Option<String>,
}

/// What is to be run, and who learns the results.
pub(crate) struct Submission {
    pub(crate) caller: Arc<str>,
    pub(crate) sequences: Vec<Sequence>,
    pub(crate) cancellation: Cancellation,
    pub(crate) done: Done,
}

/// A loaded encoder. When it is dropped, its thread finishes what was accepted, and ends.
#[derive(Debug)]
pub(crate) struct EncoderModel {
    pub(crate) info: EncoderInfo,
    pub(crate) head: Head,
    pub(crate) tokenizer: EncoderTokenizer,
    pub(crate) vocabulary_size: usize,
    batcher: Batcher,
}

impl EncoderModel {
    /// Loads a directory whose head `accepts` takes, and runs it once. `Err` of `accepts` is what such a model is for.
    pub(crate) fn load(
        path: &Path,
        options: LoadOptions,
        accepts: fn(&Head) -> Result<(), &'static str>,
    ) -> Result<Self, EncoderLoadError> {
        let directory = EncoderDir::open(path)?;
        let description = directory.description().clone();
        accepts(&description.head).map_err(|is| EncoderLoadError::WrongTask {
            name: description.name.clone(),
            is,
        })?;
        let max_tokens = max_tokens(&description, options.context_length)?;
        let tokenizer = EncoderTokenizer::load(directory.tokenizer())?;
        if tokenizer.vocabulary_size() > description.vocabulary_size {
            return Err(EncoderLoadError::VocabularyMismatch {
                tokenizer: tokenizer.vocabulary_size(),
                model: description.vocabulary_size,
            });
        }
        let first = tokenizer.text("a")?;
        let session = SessionOptions {
            device: options.device,
            threads: options.threads,
            context_length: max_tokens,
        };
        let (name, head) = (description.name.clone(), description.head.clone());
        let start = move || {
            let session = EncoderSession::load(&directory, session)?;
            let placement = session.placement().clone();
            let costs = Costs::of(description.hidden_size, session.is_packed());
            let mut encoder = Encoder {
                session,
                head: description.head,
            };
            // The first run also pays for what the runtime puts off until it is needed.
            let width = encoder.run(&[&first])?.first().map_or(0, Vec::len);
            Ok::<_, EncoderError>((encoder, costs, (placement, width)))
        };
        let capacity = options.queue_capacity.get();
        let started = Batcher::start(&name, capacity, start).map_err(EncoderLoadError::Thread)?;
        let (batcher, (placement, width)) = started?;
        Ok(Self {
            info: info(name, max_tokens, width, placement),
            head,
            vocabulary_size: tokenizer.vocabulary_size(),
            tokenizer,
            batcher,
        })
    }

    /// Puts sequences into the queue.
    pub(crate) fn submit(&self, submission: Submission) -> Result<(), InputError> {
        let Submission {
            caller,
            sequences,
            cancellation,
            done,
        } = submission;
        let request = Request {
            caller,
            sequences,
            cancellation,
            done,
        };
        self.batcher
            .submit(request)
            .map_err(|refused| match refused {
                Refused::Full => InputError::QueueFull {
                    waiting: self.waiting(),
                },
                Refused::Closed => InputError::Closed,
            })
    }

    /// The requests that are not done.
    pub(crate) fn waiting(&self) -> usize {
        self.batcher.waiting()
    }

    /// Ends the model: what waits fails.
    pub(crate) fn close(&self) {
        self.batcher.close();
    }
}

/// Refuses too many inputs, and none.
pub(crate) fn check_count(field: &str, count: usize) -> Result<(), InputError> {
    let problem = match count {
        0 => "is empty; send at least one text".to_owned(),
        1..=MOST_INPUTS => return Ok(()),
        _ => format!("has {count} texts; send at most {MOST_INPUTS} at once"),
    };
    Err(InputError::Invalid {
        field: field.to_owned(),
        problem,
    })
}

fn max_tokens(description: &Description, wanted: Option<usize>) -> Result<usize, EncoderLoadError> {
    let longest = description.max_tokens;
    match wanted {
        None => Ok(longest),
        Some(wanted) if (1..=longest).contains(&wanted) => Ok(wanted),
        Some(wanted) => Err(EncoderLoadError::ContextLength { wanted, longest }),
    }
}

fn info(name: String, max_tokens: usize, width: usize, placement: Placement) -> EncoderInfo {
    EncoderInfo {
        name,
        max_tokens,
        width,
        device: placement.device.to_string(),
        device_reason: placement.reason,
    }
}

/// A session, and what becomes of its output.
struct Encoder {
    session: EncoderSession,
    head: Head,
}

impl RunSequences for Encoder {
    fn run(&mut self, batch: &[&Sequence]) -> Result<Vec<Vec<f32>>, EncoderError> {
        let (pooling, is_normal) = match &self.head {
            Head::Embedding(embedding) => (embedding.pooling, embedding.normalize),
            Head::Score => (Pooling::Cls, false),
        };
        self.session.run(batch, |rows, width| {
            let mut vector = pooling.pool(rows, width);
            if is_normal {
                normalize(&mut vector);
            }
            vector
        })
    }
}
