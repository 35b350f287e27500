//! What a chain computes.

use super::super::product::{Source, Weights};

/// A step of a chain: what it makes of what the one before it gave.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Plan {
    /// The product with weights.
    Product(Weights),
    /// The second half times the SiLU of the first half.
    Gate,
    /// Adds it to the residual, and normalizes that by the root of its mean square.
    AddNorm {
        /// What the normalized is multiplied with.
        weights: Source,
        /// What is added to the mean square.
        epsilon: f32,
    },
}
