//! A loaded embedder: the handle that clients hold.

use std::{fmt, path::Path, sync::Arc};

use crate::{
    batching::BatchError,
    chat_model::LoadOptions,
    chat_request::Cancellation,
    encoder::{
        EncoderInfo, EncoderLoadError, EncoderModel, Head, InputError, Sequence, Submission,
        check_count, normalize,
    },
};

/// What is to be turned into a vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EmbedInput {
    /// A text, which must not be empty.
    Text(String),
    /// Tokens of a text; the special ones around them are added.
    Tokens(Vec<u32>),
}

/// Texts to turn into vectors.
#[derive(Debug, Clone)]
pub struct EmbedRequest {
    /// The texts.
    pub inputs: Vec<EmbedInput>,
    /// The length of the vectors; the model's own when absent.
    pub dimensions: Option<usize>,
    /// Whose turn it takes: callers with many texts do not keep others waiting.
    pub caller: Arc<str>,
    /// Tells the model that nobody waits any more.
    pub cancellation: Cancellation,
}

/// Vectors of texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    /// In the order of the texts.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens of all texts, special ones included.
    pub tokens: usize,
}

/// A handle to a loaded embedder. Clones share it; when the last is dropped, its thread finishes what was accepted,
/// and ends.
#[derive(Clone)]
pub struct EmbeddingModel {
    model: Arc<EncoderModel>,
}

impl fmt::Debug for EmbeddingModel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EmbeddingModel")
            .field("info", &self.model.info)
            .finish_non_exhaustive()
    }
}

impl EmbeddingModel {
    /// Loads a model directory and runs it once, so that a model that is loaded is a model that works.
    ///
    /// [`crate::runtime::init`] must have been called.
    pub fn load(directory: &Path, options: LoadOptions) -> Result<Self, EncoderLoadError> {
        let accepts = |head: &Head| match head {
            Head::Embedding(_) => Ok(()),
            Head::Score => Err("scores documents, and gives no vectors"),
        };
        Ok(Self {
            model: Arc::new(EncoderModel::load(directory, options, accepts)?),
        })
    }

    /// What is known of the model.
    pub fn info(&self) -> &EncoderInfo {
        &self.model.info
    }

    /// The requests that are not done.
    pub fn waiting(&self) -> usize {
        self.model.waiting()
    }

    /// Ends the model: what waits fails with [`BatchError::Closed`].
    pub fn close(&self) {
        self.model.close();
    }

    /// Puts texts into the queue. `done` learns their vectors on the model's thread, and must not block; it is dropped
    /// when the request is cancelled.
    pub fn submit(
        &self,
        request: EmbedRequest,
        done: Box<dyn FnOnce(Result<Embeddings, BatchError>) + Send>,
    ) -> Result<(), InputError> {
        let EmbedRequest {
            inputs,
            dimensions,
            caller,
            cancellation,
        } = request;
        check_count("input", inputs.len())?;
        let dimensions = self.dimensions(dimensions)?;
        let sequences: Vec<Sequence> = inputs
            .iter()
            .enumerate()
            .map(|(index, input)| self.sequence(index, input))
            .collect::<Result<_, _>>()?;
        let tokens = sequences.iter().map(|sequence| sequence.tokens.len()).sum();
        let done = move |outcome: Result<Vec<Vec<f32>>, BatchError>| {
            done(outcome.map(|mut vectors| {
                if let Some(dimensions) = dimensions {
                    for vector in &mut vectors {
                        vector.truncate(dimensions);
                        normalize(vector);
                    }
                }
                Embeddings { vectors, tokens }
            }));
        };
        self.model.submit(Submission {
            caller,
            sequences,
            cancellation,
            done: Box::new(done),
        })
    }

    fn sequence(&self, index: usize, input: &EmbedInput) -> Result<Sequence, InputError> {
        let field = || format!("input[{index}]");
        let invalid = |problem: String| InputError::Invalid {
            field: field(),
            problem,
        };
        let sequence = match input {
            EmbedInput::Text(text) if text.is_empty() => {
                return Err(invalid("is empty; send a text".to_owned()));
            }
            EmbedInput::Text(text) => match self.prompt() {
                "" => self.model.tokenizer.text(text)?,
                prompt => self.model.tokenizer.text(&format!("{prompt}{text}"))?,
            },
            EmbedInput::Tokens(tokens) => {
                let known = self.model.vocabulary_size;
                if let Some(token) = tokens.iter().find(|token| **token as usize >= known) {
                    let problem =
                        format!("has the token {token}; the model has 0 to {}", known - 1);
                    return Err(invalid(problem));
                }
                if tokens.is_empty() {
                    return Err(invalid("has no tokens; send at least one".to_owned()));
                }
                self.model.tokenizer.tokens(tokens)
            }
        };
        let limit = self.model.info.max_tokens;
        if sequence.tokens.len() > limit {
            return Err(InputError::TooLong {
                field: field(),
                tokens: sequence.tokens.len(),
                limit,
            });
        }
        Ok(sequence)
    }

    /// A length to which vectors are cut; none where they stay whole.
    fn dimensions(&self, wanted: Option<usize>) -> Result<Option<usize>, InputError> {
        let own = self.model.info.width;
        let Some(wanted) = wanted.filter(|wanted| *wanted != own) else {
            return Ok(None);
        };
        let trained = self.trained();
        if trained.contains(&wanted) && wanted < own {
            return Ok(Some(wanted));
        }
        let problem = if trained.is_empty() {
            format!("is {wanted}, and the vectors of this model have {own} numbers; leave it out")
        } else {
            format!("is {wanted}, and this model was trained for {own} and {trained:?}")
        };
        Err(InputError::Invalid {
            field: "dimensions".to_owned(),
            problem,
        })
    }

    fn trained(&self) -> &[usize] {
        match &self.model.head {
            Head::Embedding(embedding) => &embedding.dimensions,
            Head::Score => &[],
        }
    }

    fn prompt(&self) -> &str {
        match &self.model.head {
            Head::Embedding(embedding) => &embedding.prompt,
            Head::Score => "",
        }
    }
}
