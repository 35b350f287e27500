//! What a loaded model is asked for, which its task decides.

use std::sync::Arc;

use claw_inference::{EmbedRequest, Embeddings, RerankRequest, Scores};

use super::{Engine, EngineInfo, SubmitError};

/// A loaded model, by what it does.
#[derive(Clone)]
pub enum Loaded {
    /// Says something.
    Text(Arc<dyn Engine>),
    /// Turns texts into vectors.
    Vectors(Arc<dyn Embedder>),
    /// Scores documents.
    Ranking(Arc<dyn Reranker>),
}

/// Learns a request's outcome, or why there is none, on a thread of the model; dropped when nobody waits any more.
pub type Done<T> = Box<dyn FnOnce(Result<T, String>) + Send>;

/// A loaded embedder.
pub trait Embedder: Send + Sync + 'static {
    /// What runs where.
    fn info(&self) -> EngineInfo;

    /// Queue texts.
    fn submit(&self, request: EmbedRequest, done: Done<Embeddings>) -> Result<(), SubmitError>;
}

/// A loaded reranker.
pub trait Reranker: Send + Sync + 'static {
    /// What runs where.
    fn info(&self) -> EngineInfo;

    /// Queue documents.
    fn submit(&self, request: RerankRequest, done: Done<Scores>) -> Result<(), SubmitError>;
}

impl Loaded {
    /// What runs where.
    pub fn info(&self) -> EngineInfo {
        match self {
            Self::Text(engine) => engine.info(),
            Self::Vectors(embedder) => embedder.info(),
            Self::Ranking(reranker) => reranker.info(),
        }
    }

    /// Whether nobody else has it.
    pub(super) fn is_unshared(&self) -> bool {
        let count = match self {
            Self::Text(engine) => Arc::strong_count(engine),
            Self::Vectors(embedder) => Arc::strong_count(embedder),
            Self::Ranking(reranker) => Arc::strong_count(reranker),
        };
        count == 1
    }

    /// Whether both are the same model, loaded once.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(one), Self::Text(other)) => Arc::ptr_eq(one, other),
            (Self::Vectors(one), Self::Vectors(other)) => Arc::ptr_eq(one, other),
            (Self::Ranking(one), Self::Ranking(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}
