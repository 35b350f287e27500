//! The text of one answer: the bytes of tokens go in, text that may be shown comes out.

use crate::{
    stop_strings::{Passed, StopStrings},
    text_stream::TextStream,
};

/// Characters are never cut, and nothing of a stop string is shown.
#[derive(Debug)]
pub(crate) struct AnswerText {
    stream: TextStream,
    stops: StopStrings,
}

impl AnswerText {
    pub(crate) fn new(stop: Vec<String>) -> Self {
        Self {
            stream: TextStream::default(),
            stops: StopStrings::new(stop),
        }
    }

    /// Adds a token's bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Passed {
        self.stops.push(&self.stream.push(bytes))
    }

    /// What was held back, when no more tokens come.
    pub(crate) fn finish(&mut self) -> Passed {
        let rest = std::mem::take(&mut self.stream).finish();
        match self.stops.push(&rest) {
            Passed::Stopped(text) => Passed::Stopped(text),
            Passed::Text(text) => Passed::Text(text + &self.stops.finish()),
        }
    }
}
