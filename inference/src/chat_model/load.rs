//! What loading a model needs, step by step, and how each step can fail.

use std::num::NonZero;

use thiserror::Error;

use crate::{
    chat_template::{ChatTemplate, ChatTemplateError},
    device::Device,
    model_dir::{Manifest, ModelDir, ModelDirError},
    session::{DecoderSession, SessionError},
    tokenizer::{Tokenizer, TokenizerLoadError},
};

/// A waiting request is its prompt's text, some kilobytes: what bounds the queue is how long anybody cares to wait.
const DEFAULT_QUEUE_CAPACITY: NonZero<usize> = NonZero::new(256).expect("not zero");

/// How to load a model.
#[derive(Debug, Clone, Copy)]
pub struct LoadOptions {
    /// Where to run it.
    pub device: Device,
    /// Threads for one computation; all of the processor's when absent.
    pub threads: Option<NonZero<usize>>,
    /// The most tokens of one conversation; the model's own limit when absent.
    pub context_length: Option<usize>,
    /// Requests that may wait while another is answered.
    pub queue_capacity: NonZero<usize>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            device: Device::Auto,
            threads: None,
            context_length: None,
            queue_capacity: DEFAULT_QUEUE_CAPACITY,
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
    /// The decoder does not load, or fails its first run.
    #[error("failed to start the model")]
    Session(#[from] SessionError),
    /// The operating system gives no thread.
    #[error("failed to start the model's thread")]
    Thread(#[source] std::io::Error),
}

pub(super) fn context_length(
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
    if known == expected {
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

/// A real run: the first one also pays for what the runtime puts off until it is needed.
pub(super) fn warm_up(decoder: &mut DecoderSession, token: u32) -> Result<(), SessionError> {
    decoder.start(2)?;
    decoder.forward(&[token])?;
    let logits = decoder.forward(&[token])?;
    if logits.iter().all(|logit| logit.is_finite()) {
        Ok(())
    } else {
        Err(SessionError::NotFinite)
    }
}
