//! A loaded chat model: the handle that clients hold.

mod load;
mod preparation;

use std::{
    fmt,
    ops::ControlFlow,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use thiserror::Error;

use crate::{
    chat_request::{ChatRequest, InvalidField, Message},
    chat_template::{ChatTemplate, ChatTemplateError},
    event::Event,
    generation::{Job, Vocabulary},
    grammar::GrammarCompiler,
    model_dir::{Manifest, ModelDir, Quantization},
    sampler::Sampler,
    scheduler::{ModelStats, Refused, Scheduler},
    session::{Graph, Placement, SessionError, SessionOptions},
    tokenizer::{EncodeError, Tokenizer},
    tools::Tool,
};

pub(crate) use load::context_length;
pub use load::{LoadError, LoadOptions};

/// Why a request was not accepted.
#[derive(Debug, Error)]
pub enum SubmitError {
    /// Too many requests wait already.
    #[error(
        "the model is busy and {waiting} requests wait for it already; try again in {} s",
        retry_after.as_secs()
    )]
    QueueFull {
        /// The requests that wait.
        waiting: usize,
        /// When half of them will have had their turn, as fast as the model is now; at least a second.
        retry_after: Duration,
    },
    /// The conversation is longer than the model's context.
    #[error(
        "the conversation has {prompt_tokens} tokens, and the context of the model {context_length} with the answer; shorten it"
    )]
    PromptTooLong {
        /// The conversation's tokens.
        prompt_tokens: usize,
        /// The most tokens of conversation and answer.
        context_length: usize,
    },
    /// A field cannot be what it is.
    #[error("{field} {problem}")]
    InvalidRequest {
        /// The field's name in the OpenAI API.
        field: &'static str,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// A form of the answer that cannot be kept, or would take too much work.
    #[error("{field} {problem}")]
    UnsupportedForm {
        /// `response_format`, or `tools`.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The chat template fails on this conversation.
    #[error("failed to turn the conversation into a prompt")]
    Template(#[source] ChatTemplateError),
    /// The tokenizer fails on this conversation.
    #[error("failed to turn the conversation into tokens")]
    Encode(#[from] EncodeError),
    /// The model was closed.
    #[error("the model was unloaded; send the request again")]
    Closed,
}

/// What is known of a loaded model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelInfo {
    /// The model's own name.
    pub name: String,
    /// The most tokens of one conversation.
    pub context_length: usize,
    /// Where it runs: `Cpu` or `Cuda`.
    pub device: String,
    /// Why it does not run on a GPU, when it was to do so if possible.
    pub device_reason: Option<String>,
    /// How its weights are stored.
    pub quantization: Quantization,
    /// The tokens it knows.
    pub vocabulary_size: usize,
    /// The SHA-256 of the file it was imported from.
    pub source_sha256: String,
}

/// A handle to a loaded model. Clones share the model; when the last is dropped, its thread finishes what was
/// accepted, and ends.
#[derive(Clone)]
pub struct ChatModel {
    shared: Arc<Shared>,
}

struct Shared {
    info: ModelInfo,
    tokenizer: Arc<Tokenizer>,
    template: ChatTemplate,
    grammars: GrammarCompiler,
    scheduler: Scheduler,
    speculation: bool,
}

impl fmt::Debug for ChatModel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ChatModel")
            .field("info", &self.shared.info)
            .finish_non_exhaustive()
    }
}

impl ChatModel {
    /// Loads a model directory and runs it once, so that a model that is loaded is a model that works.
    ///
    /// [`crate::runtime::init`] must have been called. This takes seconds.
    pub fn load(dir: &Path, options: LoadOptions) -> Result<Self, LoadError> {
        let model = ModelDir::open(dir)?;
        let manifest = model.manifest().clone();
        let context_length = load::context_length(&manifest, options.context_length)?;
        let tokenizer = Arc::new(load::load_tokenizer(&model)?);
        let template = load::load_template(&manifest, &tokenizer)?;
        let session = SessionOptions {
            device: options.device,
            threads: options.threads,
            context_length,
        };
        let first_token = manifest.tokens.bos.unwrap_or(0);
        let start = move || {
            let mut graph = Graph::load(&model, session)?;
            load::warm_up(&mut graph, first_token)?;
            let placement = graph.placement().clone();
            Ok::<_, SessionError>((graph, placement))
        };
        let vocabulary = Vocabulary {
            tokenizer: Arc::clone(&tokenizer),
            eos: manifest.tokens.eos.clone(),
        };
        let limits = load::limits(&manifest, &options, context_length)?;
        let (scheduler, placement) = Scheduler::start(&manifest.name, limits, vocabulary, start)
            .map_err(LoadError::Thread)??;
        let grammars = GrammarCompiler::new(Arc::clone(&tokenizer), manifest.tokens.eos.clone());
        let info = info(manifest, context_length, placement);
        Ok(Self {
            shared: Arc::new(Shared {
                info,
                tokenizer,
                template,
                grammars,
                scheduler,
                speculation: options.speculation,
            }),
        })
    }

    /// What is known of the model.
    pub fn info(&self) -> &ModelInfo {
        &self.shared.info
    }

    /// The requests that wait for their turn.
    pub fn waiting(&self) -> usize {
        self.shared.scheduler.waiting()
    }

    /// What the model did so far, and does now.
    pub fn stats(&self) -> ModelStats {
        self.shared.scheduler.stats()
    }

    /// The tokens of a conversation's prompt, in which the model is told of these tools.
    pub fn count_tokens(&self, messages: &[Message], tools: &[Tool]) -> Result<usize, SubmitError> {
        Ok(self.prompt(messages, tools)?.len())
    }

    /// Prepares a request on this thread, which takes as long as its prompt and its form are large, and puts it into the
    /// queue. `sink` learns what becomes of it, on the model's thread, and must not block.
    pub fn submit(
        &self,
        request: ChatRequest,
        sink: Box<dyn FnMut(Event) -> ControlFlow<()> + Send>,
    ) -> Result<(), SubmitError> {
        let sampling = request.validate()?;
        let prompt = match &request.prompt {
            Some(text) => self.shared.tokenizer.encode(text)?,
            None => self.prompt(&request.messages, request.offered_tools())?,
        };
        let context_length = self.shared.info.context_length;
        let room = context_length.saturating_sub(prompt.len());
        if room == 0 {
            return Err(SubmitError::PromptTooLong {
                prompt_tokens: prompt.len(),
                context_length,
            });
        }
        let wanted = request
            .max_tokens
            .and_then(|tokens| usize::try_from(tokens).ok());
        let grammar = self.grammar(&request)?;
        let job = Job {
            sampler: Sampler::new(sampling, &prompt, grammar),
            prompt,
            max_tokens: wanted.unwrap_or(room).min(room),
            stop: self.stop_strings(&request),
            sink: self.sink(&request, sink),
            cancellation: request.cancellation,
            queued: Instant::now(),
            may_speculate: self.shared.speculation && !request.without_guesses,
            is_seeded: request.seed.is_some(),
            client: request.client,
        };
        self.shared
            .scheduler
            .submit(job)
            .map_err(|refused| match refused {
                Refused::Full { retry_after } => SubmitError::QueueFull {
                    waiting: self.waiting(),
                    retry_after,
                },
                Refused::Closed => SubmitError::Closed,
            })
    }

    /// Ends the model at once: every request that is not answered fails with
    /// [`GenerationError::Closed`](crate::GenerationError::Closed).
    pub fn close(&self) {
        self.shared.scheduler.close();
    }
}

impl From<InvalidField> for SubmitError {
    fn from(InvalidField { field, problem }: InvalidField) -> Self {
        Self::InvalidRequest { field, problem }
    }
}

fn info(manifest: Manifest, context_length: usize, placement: Placement) -> ModelInfo {
    ModelInfo {
        name: manifest.name,
        context_length,
        device: placement.device.to_string(),
        device_reason: placement.reason,
        quantization: manifest.quantization,
        vocabulary_size: manifest.architecture.vocabulary_size,
        source_sha256: manifest.source.sha256,
    }
}
