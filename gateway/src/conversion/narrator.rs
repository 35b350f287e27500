//! How a dialect tells a streamed answer.

use super::NamedEvent;
use crate::error::GatewayError;
use crate::types::ChatChunk;

/// Turns the pieces of an answer into events.
pub trait Narrator: Send + 'static {
    /// The events of the next piece; an error ends the answer.
    fn piece(&mut self, chunk: &ChatChunk) -> Result<Vec<NamedEvent>, GatewayError>;

    /// The events after the last piece.
    fn end(&mut self) -> Vec<NamedEvent>;

    /// The events of an answer that was cut off.
    fn error(&mut self, error: &GatewayError) -> Vec<NamedEvent>;
}
