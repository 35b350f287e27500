//! What a stream says next.

use bytes::Bytes;

use super::ChatChunk;

/// A piece of an answer, as short as it can be said.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// A piece.
    Piece(Box<ChatChunk>),
    /// The last piece again, with another text in its only answer.
    Again(Text),
}

/// A text as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// A string in JSON.
    pub json: Bytes,
    /// Its length once read, in UTF-8.
    pub bytes: usize,
}

impl Text {
    /// The text itself.
    pub fn read(&self) -> String {
        serde_json::from_slice(&self.json).unwrap_or_default()
    }
}
