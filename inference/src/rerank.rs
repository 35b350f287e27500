//! A loaded reranker: the handle that clients hold.

use std::{fmt, path::Path, sync::Arc};

use crate::{
    batching::BatchError,
    chat_model::LoadOptions,
    chat_request::Cancellation,
    encoder::{
        EncoderInfo, EncoderLoadError, EncoderModel, Head, InputError, Sequence, Submission,
        check_count,
    },
};

/// Documents to score.
#[derive(Debug, Clone)]
pub struct RerankRequest {
    /// What is asked.
    pub query: String,
    /// What may say something about it. One that does not fit beside the query is cut.
    pub documents: Vec<String>,
    /// Whose turn it takes.
    pub caller: Arc<str>,
    /// Tells the model that nobody waits any more.
    pub cancellation: Cancellation,
}

/// Scores of documents.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// From 0 to 1, in the order of the documents.
    pub scores: Vec<f32>,
    /// Tokens of all pairs of query and document, special ones included.
    pub tokens: usize,
}

/// A handle to a loaded reranker. Clones share it; when the last is dropped, its thread finishes what was accepted,
/// and ends.
#[derive(Clone)]
pub struct RerankModel {
    model: Arc<EncoderModel>,
}

impl fmt::Debug for RerankModel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RerankModel")
            .field("info", &self.model.info)
            .finish_non_exhaustive()
    }
}

impl RerankModel {
    /// Loads a model directory and runs it once, so that a model that is loaded is a model that works.
    ///
    /// [`crate::runtime::init`] must have been called.
    pub fn load(directory: &Path, options: LoadOptions) -> Result<Self, EncoderLoadError> {
        let accepts = |head: &Head| match head {
            Head::Score => Ok(()),
            Head::Embedding(_) => Err("gives vectors, and scores no documents"),
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

    /// Puts documents into the queue. `done` learns their scores on the model's thread, and must not block; it is
    /// dropped when the request is cancelled.
    pub fn submit(
        &self,
        request: RerankRequest,
        done: Box<dyn FnOnce(Result<Scores, BatchError>) + Send>,
    ) -> Result<(), InputError> {
        let RerankRequest {
            query,
            documents,
            caller,
            cancellation,
        } = request;
        check_count("documents", documents.len())?;
        let limit = self.model.info.max_tokens;
        let pair = |document: &String| {
            let pair = self.model.tokenizer.pair(&query, document, limit)?;
            pair.map_err(|tokens| InputError::TooLong {
                field: "query".to_owned(),
                tokens,
                limit,
            })
        };
        let sequences: Vec<Sequence> = documents.iter().map(pair).collect::<Result<_, _>>()?;
        let tokens = sequences.iter().map(|sequence| sequence.tokens.len()).sum();
        let done = move |outcome: Result<Vec<Vec<f32>>, BatchError>| {
            done(outcome.map(|rows| {
                Scores {
                    scores: rows
                        .iter()
                        .map(|row| sigmoid(row.first().copied().unwrap_or_default()))
                        .collect(),
                    tokens,
                }
            }));
        };
        self.model.submit(Submission {
            caller,
            sequences,
            cancellation,
            done: Box::new(done),
        })
    }
}

fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}
