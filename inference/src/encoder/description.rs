//! What of an encoder its user must know.

use serde::{Deserialize, Serialize};

use super::Pooling;

/// An encoder's numbers, and what its output becomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Description {
    /// The model's own name.
    pub name: String,
    /// Numbers of a token's vector.
    pub hidden_size: usize,
    /// Tokens in the vocabulary.
    pub vocabulary_size: usize,
    /// The most tokens of one input, special ones included.
    pub max_tokens: usize,
    /// The position of the first token: RoBERTa's begin after its padding token's.
    pub first_position: usize,
    /// What becomes of the output.
    pub head: Head,
}

/// What becomes of an encoder's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, tag = "kind")]
pub enum Head {
    /// One vector a text.
    Embedding(Embedding),
    /// One score for a query and a document.
    Score,
}

/// How the vectors of tokens become one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Embedding {
    /// Which of them count.
    pub pooling: Pooling,
    /// Whether the result has the length 1.
    pub normalize: bool,
    /// Shorter lengths that the model was trained for (Matryoshka).
    pub dimensions: Vec<usize>,
    /// What every text begins with.
    pub prompt: String,
}

/// Whose layers the encoder has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `bert`.
    Bert,
    /// `roberta`, `xlm-roberta` and `camembert`: other positions, and another head of classifiers.
    Roberta,
}

/// The function between the two layers of a feed-forward block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// By the error function.
    Gelu,
    /// By the hyperbolic tangent.
    GeluTanh,
    /// Nothing below zero.
    Relu,
}
