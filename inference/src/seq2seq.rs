//! A loaded sequence-to-sequence model, which writes a text for another: the handle that clients hold.
//!
//! One thread a model answers one text after the other. The likeliest token is taken at each step, so that answers can
//! be streamed and are the same every time.

mod directory;
mod rules;

use std::{
    fmt,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, mpsc},
    time::Instant,
};

use thiserror::Error;

use crate::{
    chat_model::LoadOptions,
    chat_request::Cancellation,
    encoder::{EncoderTokenizer, InputError},
    event::{Event, EventSink, FinishReason, GenerationError, Usage},
    fault,
    model_dir::TOKENIZER_FILE,
    model_thread,
    session::{EncoderError, Seq2SeqSession, SessionOptions},
    tokenizer::TokenizerLoadError,
};
use directory::Rules;
pub use directory::{Seq2SeqDirError, is_seq2seq};

/// Why a model could not be loaded.
#[derive(Debug, Error)]
pub enum Seq2SeqLoadError {
    /// The directory is no usable model.
    #[error("failed to read the model's description")]
    Directory(#[from] Seq2SeqDirError),
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
    /// Longer texts than the model takes.
    #[error("the context length {wanted} is not possible: choose 1 to {longest}")]
    ContextLength {
        /// What was asked for.
        wanted: usize,
        /// What the model was trained for.
        longest: usize,
    },
    /// The graphs do not load, or fail their first run.
    #[error("failed to start the model")]
    Session(#[from] EncoderError),
    /// The operating system gives no thread.
    #[error("failed to start the model's thread")]
    Thread(#[source] std::io::Error),
}

/// What is known of a loaded model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seq2SeqInfo {
    /// The model's own name.
    pub name: String,
    /// The most tokens of a text.
    pub max_tokens: usize,
    /// Where it runs: `Cpu` or `Cuda`.
    pub device: String,
    /// Why it does not run on a GPU, when it was to do so if possible.
    pub device_reason: Option<String>,
}

/// A text to answer.
#[derive(Debug, Clone)]
pub struct Seq2SeqRequest {
    /// The text.
    pub text: String,
    /// Most tokens of the answer; what the model says when absent.
    pub max_tokens: Option<u32>,
    /// Tells the model that nobody waits any more.
    pub cancellation: Cancellation,
}

/// A handle to a loaded model. Clones share it; when the last is dropped, its thread finishes what was accepted, and
/// ends.
#[derive(Clone)]
pub struct Seq2SeqModel {
    shared: Arc<Shared>,
}

struct Shared {
    info: Seq2SeqInfo,
    prefix: String,
    rules: Rules,
    tokenizer: Arc<EncoderTokenizer>,
    jobs: mpsc::SyncSender<Job>,
    capacity: usize,
}

struct Job {
    tokens: Vec<u32>,
    longest: usize,
    cancellation: Cancellation,
    sink: EventSink,
    queued: Instant,
}

impl fmt::Debug for Seq2SeqModel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Seq2SeqModel")
            .field("info", &self.shared.info)
            .finish_non_exhaustive()
    }
}

impl Seq2SeqModel {
    /// Loads a model directory and runs it once, so that a model that is loaded is a model that works.
    ///
    /// [`crate::runtime::init`] must have been called.
    pub fn load(path: &Path, options: LoadOptions) -> Result<Self, Seq2SeqLoadError> {
        let description = directory::read(path)?;
        let longest = description.max_tokens;
        let max_tokens = match options.context_length {
            None => longest,
            Some(wanted) if (1..=longest).contains(&wanted) => wanted,
            Some(wanted) => return Err(Seq2SeqLoadError::ContextLength { wanted, longest }),
        };
        let tokenizer = Arc::new(EncoderTokenizer::load(&path.join(TOKENIZER_FILE))?);
        if tokenizer.vocabulary_size() > description.vocabulary_size {
            return Err(Seq2SeqLoadError::VocabularyMismatch {
                tokenizer: tokenizer.vocabulary_size(),
                model: description.vocabulary_size,
            });
        }
        let session = SessionOptions {
            device: options.device,
            threads: options.threads,
            context_length: max_tokens,
        };
        let capacity = options.queue_capacity.get();
        let (jobs, queue) = mpsc::sync_channel(capacity);
        let (sender, loaded) = mpsc::sync_channel(1);
        let (directory, rules) = (path.to_owned(), description.rules.clone());
        let decoder = Arc::clone(&tokenizer);
        let run = move || match start(&directory, session, &rules) {
            Ok(session) => {
                if sender.send(Ok(session.placement().clone())).is_ok() {
                    work(session, &rules, &decoder, &queue);
                }
            }
            Err(error) => drop(sender.send(Err(error))),
        };
        model_thread::spawn(&description.name, run).map_err(Seq2SeqLoadError::Thread)?;
        let ended = |_| std::io::Error::other("the model's thread ended while loading");
        let loaded = loaded.recv().map_err(ended);
        let placement = loaded.map_err(Seq2SeqLoadError::Thread)??;
        let info = Seq2SeqInfo {
            name: description.name,
            max_tokens,
            device: placement.device.to_string(),
            device_reason: placement.reason,
        };
        Ok(Self {
            shared: Arc::new(Shared {
                info,
                prefix: description.prefix,
                rules: description.rules,
                tokenizer,
                jobs,
                capacity,
            }),
        })
    }

    /// What is known of the model.
    pub fn info(&self) -> &Seq2SeqInfo {
        &self.shared.info
    }

    /// Puts a text into the queue. `sink` learns what becomes of it, on the model's thread, and must not block.
    pub fn submit(&self, request: Seq2SeqRequest, sink: EventSink) -> Result<(), InputError> {
        let Seq2SeqRequest {
            text,
            max_tokens,
            cancellation,
        } = request;
        let shared = &self.shared;
        let tokens = shared
            .tokenizer
            .text(&format!("{}{text}", shared.prefix))?
            .tokens;
        let limit = shared.info.max_tokens;
        if tokens.len() > limit {
            return Err(InputError::TooLong {
                field: "text".to_owned(),
                tokens: tokens.len(),
                limit,
            });
        }
        // The unseen first token counts in what a model says of lengths.
        let wanted = max_tokens.and_then(|tokens| usize::try_from(tokens).ok());
        let own = shared.rules.longest.min(limit);
        let longest = wanted.map_or(own, |wanted| own.min(wanted.saturating_add(1)));
        let job = Job {
            tokens,
            longest,
            cancellation,
            sink,
            queued: Instant::now(),
        };
        shared.jobs.try_send(job).map_err(|refused| match refused {
            mpsc::TrySendError::Full(_) => InputError::QueueFull {
                waiting: shared.capacity,
            },
            mpsc::TrySendError::Disconnected(_) => InputError::Closed,
        })
    }
}

/// Loads the model, and runs it once, which also pays for what the runtime puts off until it is needed.
fn start(
    directory: &Path,
    options: SessionOptions,
    rules: &Rules,
) -> Result<Seq2SeqSession, EncoderError> {
    let mut session = Seq2SeqSession::load(directory, options)?;
    session.read(&rules.end[..1])?;
    session.forward(rules.start, true)?;
    session.forward(rules.start, false)?;
    Ok(session)
}

fn work(
    mut session: Seq2SeqSession,
    rules: &Rules,
    tokenizer: &EncoderTokenizer,
    queue: &mpsc::Receiver<Job>,
) {
    while let Ok(mut job) = queue.recv() {
        if job.cancellation.is_cancelled() {
            continue;
        }
        let attempt = catch_unwind(AssertUnwindSafe(|| {
            answer(&mut session, rules, tokenizer, &mut job)
        }));
        let last = match attempt {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => GenerationError::Seq2Seq(Arc::new(error)),
            Err(panic) => GenerationError::Panicked {
                message: fault::message(&*panic),
            },
        };
        // Nothing follows, so neither the sink's answer nor its panic makes a difference.
        let _ = catch_unwind(AssertUnwindSafe(|| (job.sink)(Event::Failed(last))));
    }
}

fn answer(
    session: &mut Seq2SeqSession,
    rules: &Rules,
    tokenizer: &EncoderTokenizer,
    job: &mut Job,
) -> Result<(), EncoderError> {
    let prompt_tokens = job.tokens.len();
    let started = Event::Started {
        prompt_tokens,
        waited: job.queued.elapsed(),
    };
    if (job.sink)(started).is_break() {
        return Ok(());
    }
    session.read(&job.tokens)?;
    let mut tokens = vec![rules.start];
    let mut told = String::new();
    let mut reason = FinishReason::Length;
    while tokens.len() < job.longest {
        if job.cancellation.is_cancelled() {
            return Ok(());
        }
        let last = tokens[tokens.len() - 1];
        let logits = session.forward(last, tokens.len() == 1)?;
        let next = rules.choose(logits, &tokens, job.longest);
        let next = next.ok_or(EncoderError::NotFinite)?;
        tokens.push(next);
        if rules.is_end(next) {
            // One that had to end here is not done.
            if tokens.len() < job.longest {
                reason = FinishReason::Stop;
            }
            break;
        }
        if tell(tokenizer, &tokens, &mut told, false, &mut job.sink).is_break() {
            return Ok(());
        }
    }
    if tell(tokenizer, &tokens, &mut told, true, &mut job.sink).is_break() {
        return Ok(());
    }
    let usage = Usage {
        prompt_tokens,
        cached_tokens: 0,
        completion_tokens: tokens.len() - 1,
    };
    let _ = (job.sink)(Event::Finished { reason, usage });
    Ok(())
}

/// Tells what is new in the text. A part of a character waits for the rest of it, unless this is all.
fn tell(
    tokenizer: &EncoderTokenizer,
    tokens: &[u32],
    told: &mut String,
    is_all: bool,
    sink: &mut EventSink,
) -> ControlFlow<()> {
    let text = tokenizer.decode(tokens);
    let new = match text.strip_prefix(told.as_str()) {
        Some(new) if is_all || !new.ends_with(char::REPLACEMENT_CHARACTER) => new.to_owned(),
        _ => return ControlFlow::Continue(()),
    };
    if new.is_empty() {
        return ControlFlow::Continue(());
    }
    told.push_str(&new);
    sink(Event::Text(new))
}
