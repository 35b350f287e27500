//! What is wrong with what an API sent.

use http::StatusCode;

use crate::error::ErrorDetail;

/// Why an answer cannot be converted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is none.
    Malformed(&'static str),
    /// The API says that it failed, in the middle of an answer.
    Reported {
        /// The status it would have answered with.
        status: StatusCode,
        /// What it says.
        detail: ErrorDetail,
    },
}

/// What an event of a stream comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// A piece of the answer.
    Chunk(Box<crate::types::ChatChunk>),
    /// Nothing that a client has to know.
    Nothing,
    /// The end of the answer.
    End,
}
