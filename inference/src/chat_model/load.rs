//! What loading a model needs, step by step, and how each step can fail.

use std::{num::NonZero, time::Duration};

use thiserror::Error;

use crate::{
    chat_template::{ChatTemplate, ChatTemplateError},
    decoder::{Decoder as _, Step},
    device::Device,
    kv_cache::KvShape,
    model_dir::{Manifest, ModelDir, ModelDirError},
    scheduler::Limits,
    session::{Graph, SessionError},
    tokenizer::{Tokenizer, TokenizerLoadError},
};

/// A waiting request is its prompt's text, some kilobytes: what bounds the queue is how long anybody cares to wait.
const DEFAULT_QUEUE_CAPACITY: NonZero<usize> = NonZero::new(256).expect("not zero");

/// Beyond this many, each of them waits longer for its next token, and all together get hardly more.
const DEFAULT_ACTIVE: NonZero<usize> = NonZero::new(32).expect("not zero");
/// What a conversation has on average, with some to spare.
const USUAL_TOKENS: usize = 1024;
/// What nobody has to ask for.
const MODEST_KV_CACHE: usize = 2 << 30;
/// Some 10,000 tokens of a model with 100 million parameters.
const DEFAULT_PREFIX_CACHE: usize = 512 << 20;
/// Between two tokens of an answer while somebody's prompt is computed. Shorter runs make prompts slower: of SmolLM2's on
/// two processors a quarter of the time is the same for a run of any length.
const RUN_TIME: Duration = Duration::from_millis(10);

/// Tokens of the longest prompt that a model on a GPU is warmed up with.
const LONGEST_WARM_UP: usize = 512;
/// Room for each of several answers, little enough for a GPU that has hardly more than the weights.
const POSITIONS_OF_WARM_UP: usize = 128;
/// The answers at once with which a model on a GPU is warmed up.
const ROWS_OF_WARM_UP: [usize; 4] = [2, 4, 8, 16];

/// How to load a model.
#[derive(Debug, Clone, Copy)]
pub struct LoadOptions {
    /// Where to run it.
    pub device: Device,
    /// Threads for one computation; all of the processor's when absent.
    pub threads: Option<NonZero<usize>>,
    /// The most tokens of one conversation; the model's own limit when absent.
    pub context_length: Option<usize>,
    /// Requests that may wait while others are answered.
    pub queue_capacity: NonZero<usize>,
    /// Requests that are answered at once.
    pub active: NonZero<usize>,
    /// Bytes of attention cache for the requests that are answered; by default, enough for all of them at 1,024 tokens,
    /// but no more than 2 GiB, or one of the whole context where that is more.
    pub kv_cache_bytes: Option<usize>,
    /// Bytes of attention cache of prompts that are kept for those that begin alike; 0 keeps none.
    pub prefix_cache_bytes: usize,
    /// Bytes that the process may have. Conversations get an eighth of them by default, and kept prompts a sixteenth, where
    /// that is less than what they get otherwise, and one conversation of the whole context in any case.
    pub memory_bytes: Option<usize>,
    /// Whether several tokens may be computed at once where a text repeats itself. It changes the speed alone.
    pub speculation: bool,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            device: Device::Auto,
            threads: None,
            context_length: None,
            queue_capacity: DEFAULT_QUEUE_CAPACITY,
            active: DEFAULT_ACTIVE,
            kv_cache_bytes: None,
            prefix_cache_bytes: DEFAULT_PREFIX_CACHE,
            memory_bytes: None,
            speculation: true,
        }
    }
}

/// Why a model could not be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The directory is no usable model.
    #[error("failed to open the model directory")]
    ModelDir(#[from] ModelDirError),
    /// The tokenizer is no usable tokenizer.
    #[error("failed to load the model's tokenizer")]
    Tokenizer(#[from] TokenizerLoadError),
    /// The tokenizer belongs to another model.
    #[error("the tokenizer has {tokenizer} tokens, and the model {model}; import the model again")]
    VocabularyMismatch {
        /// The tokenizer's tokens.
        tokenizer: usize,
        /// The model's tokens.
        model: usize,
    },
    /// The model was not made for conversations.
    #[error(
        "the model {name} has no chat template, so it cannot answer chats; import an instruction-tuned model"
    )]
    NoChatTemplate {
        /// The model's name.
        name: String,
    },
    /// The chat template is no usable template.
    #[error("failed to prepare the model's chat template")]
    ChatTemplate(#[from] ChatTemplateError),
    /// More context than the model has.
    #[error("the context length {wanted} is not possible: choose 1 to {longest}")]
    ContextLength {
        /// What was asked for.
        wanted: usize,
        /// What the model was trained for.
        longest: usize,
    },
    /// Less memory than one conversation may need.
    #[error(
        "{given} bytes of attention cache are too few: a conversation of {context_length} tokens takes {needed}; allow more, or a shorter context"
    )]
    KvCache {
        /// What was allowed.
        given: usize,
        /// What one conversation of the whole context takes.
        needed: usize,
        /// The most tokens of one conversation.
        context_length: usize,
    },
    /// The decoder does not load, or fails its first run.
    #[error("failed to start the model")]
    Session(#[from] SessionError),
    /// The operating system gives no thread.
    #[error("failed to start the model's thread")]
    Thread(#[source] std::io::Error),
}

pub(crate) fn context_length(
    manifest: &Manifest,
    wanted: Option<usize>,
) -> Result<usize, LoadError> {
    let longest = manifest.architecture.context_length;
    match wanted {
        None => Ok(longest),
        Some(wanted) if (1..=longest).contains(&wanted) => Ok(wanted),
        Some(wanted) => Err(LoadError::ContextLength { wanted, longest }),
    }
}

pub(super) fn load_tokenizer(model: &ModelDir) -> Result<Tokenizer, LoadError> {
    let tokenizer = Tokenizer::load(&model.tokenizer())?;
    let (known, expected) = (
        tokenizer.vocabulary_size(),
        model.manifest().architecture.vocabulary_size,
    );
    // Models have rows to spare, so that the number of them is a round one.
    if known <= expected {
        return Ok(tokenizer);
    }
    Err(LoadError::VocabularyMismatch {
        tokenizer: known,
        model: expected,
    })
}

pub(super) fn load_template(
    manifest: &Manifest,
    tokenizer: &Tokenizer,
) -> Result<ChatTemplate, LoadError> {
    let no_template = || LoadError::NoChatTemplate {
        name: manifest.name.clone(),
    };
    let source = manifest.chat_template.as_deref().ok_or_else(no_template)?;
    let text = |token: Option<u32>| {
        token
            .and_then(|token| tokenizer.markup_text(token))
            .unwrap_or_default()
    };
    let (bos, eos) = (
        text(manifest.tokens.bos),
        text(manifest.tokens.eos.first().copied()),
    );
    Ok(ChatTemplate::new(source, bos, eos)?)
}

/// What the model may use.
pub(super) fn limits(
    manifest: &Manifest,
    options: &LoadOptions,
    context_length: usize,
) -> Result<Limits, LoadError> {
    let shape = KvShape::of(&manifest.architecture, context_length);
    let needed = shape.bytes(context_length);
    let active = options.active.get();
    let usual = active * shape.bytes(USUAL_TOKENS.min(context_length));
    let memory = options.memory_bytes.unwrap_or(usize::MAX);
    let given = options
        .kv_cache_bytes
        .unwrap_or_else(|| usual.min(MODEST_KV_CACHE).min(memory / 8).max(needed));
    if given < needed {
        return Err(LoadError::KvCache {
            given,
            needed,
            context_length,
        });
    }
    Ok(Limits {
        waiting: options.queue_capacity.get(),
        active,
        kv_bytes: given,
        prefix_cache_bytes: options.prefix_cache_bytes.min(memory / 16),
        run_time: RUN_TIME,
    })
}

/// A real run: the first one also pays for what the runtime puts off until it is needed. On a GPU that is to load the kernels for
/// each size of a run.
pub(super) fn warm_up(decoder: &mut Graph, token: u32) -> Result<(), SessionError> {
    let mut cache = decoder.allocate(1, decoder.shape().capacity_for(2))?;
    if decoder.placement().device == Device::Cuda {
        let longest = LONGEST_WARM_UP.min(cache.capacity());
        for length in (1..=longest.ilog2()).map(|power| 1 << power) {
            decoder.extend(&mut cache, 0, &vec![token; length], 1)?;
        }
        for rows in ROWS_OF_WARM_UP {
            let mut cache = decoder.allocate(rows, POSITIONS_OF_WARM_UP)?;
            let step = |row| Step {
                row,
                token,
                past: 0,
            };
            decoder.step(&mut cache, &(0..rows).map(step).collect::<Vec<_>>())?;
        }
    }
    let first = decoder.extend(&mut cache, 0, &[token], 1)?;
    let mut is_finite = first.iter().all(|logit| logit.is_finite());
    let step = Step {
        row: 0,
        token,
        past: 1,
    };
    let second = decoder.step_alone(&mut cache, step)?;
    is_finite &= second.iter().all(|logit| logit.is_finite());
    if is_finite {
        Ok(())
    } else {
        Err(SessionError::NotFinite)
    }
}
