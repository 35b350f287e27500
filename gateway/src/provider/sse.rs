//! Server-sent events out of bytes that are split anywhere. Pure.

use std::collections::VecDeque;

use bytes::{Buf as _, Bytes};

/// An event may be this long.
const EVENT_LIMIT: usize = 8 << 20;

/// Collects bytes and gives the data of each complete event: parts of what it was fed, copied only where they are split.
#[derive(Debug, Default)]
pub(super) struct SseParser {
    /// The beginning of a line whose end is still to come.
    line: Vec<u8>,
    /// Of the event whose end is still to come, where it has any.
    data: Option<Data>,
    after_cr: bool,
}

/// The data of an event, which may have several lines.
#[derive(Debug)]
enum Data {
    /// A part of what came.
    Line(Bytes),
    /// Grown in place, lest many short lines are copied over and over.
    Lines(Vec<u8>),
}

impl Data {
    fn len(&self) -> usize {
        match self {
            Self::Line(line) => line.len(),
            Self::Lines(lines) => lines.len(),
        }
    }

    fn with(self, line: &[u8]) -> Self {
        let mut lines = match self {
            Self::Line(first) => first.to_vec(),
            Self::Lines(lines) => lines,
        };
        lines.push(b'\n');
        lines.extend_from_slice(line);
        Self::Lines(lines)
    }
}

impl From<Data> for Bytes {
    fn from(data: Data) -> Self {
        match data {
            Data::Line(line) => line,
            Data::Lines(lines) => lines.into(),
        }
    }
}

/// An event of more than [`EVENT_LIMIT`] bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl SseParser {
    /// Take the next bytes; the data of each event that they complete is appended to `events`.
    pub(super) fn feed(
        &mut self,
        mut bytes: Bytes,
        events: &mut VecDeque<Bytes>,
    ) -> Result<(), TooLong> {
        // The second half of CR LF, whose first half ended the line.
        if self.after_cr && !bytes.is_empty() {
            self.after_cr = false;
            skip(&mut bytes, b'\n');
        }
        while let Some(end) = memchr::memchr2(b'\n', b'\r', &bytes) {
            let line = bytes.split_to(end);
            let is_cr = bytes.get_u8() == b'\r';
            self.end_line(line, events)?;
            if is_cr && !skip(&mut bytes, b'\n') {
                self.after_cr = bytes.is_empty();
            }
        }
        self.check(bytes.len())?;
        self.line.extend_from_slice(&bytes);
        Ok(())
    }

    fn end_line(&mut self, line: Bytes, events: &mut VecDeque<Bytes>) -> Result<(), TooLong> {
        self.check(line.len())?;
        let mut line = if self.line.is_empty() {
            line
        } else {
            let mut whole = std::mem::take(&mut self.line);
            whole.extend_from_slice(&line);
            Bytes::from(whole)
        };
        if line.is_empty() {
            events.extend(self.data.take().map(Bytes::from));
            return Ok(());
        }
        // Comments, event names, ids and retry hints mean nothing to chat completions.
        if line.starts_with(b"data:") {
            line.advance(b"data:".len());
            skip(&mut line, b' ');
            self.data = Some(match self.data.take() {
                None => Data::Line(line),
                Some(before) => before.with(&line),
            });
        }
        Ok(())
    }

    /// Whether an event may be longer by so much.
    fn check(&self, more: usize) -> Result<(), TooLong> {
        let data = self.data.as_ref().map_or(0, Data::len);
        if self.line.len() + data + more > EVENT_LIMIT {
            return Err(TooLong);
        }
        Ok(())
    }
}

/// Whether `bytes` began with `byte`, which is gone then.
fn skip(bytes: &mut Bytes, byte: u8) -> bool {
    let is_there = bytes.first() == Some(&byte);
    if is_there {
        bytes.advance(1);
    }
    is_there
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(pieces: &[&[u8]]) -> Vec<String> {
        let mut parser = SseParser::default();
        let mut events = VecDeque::new();
        for piece in pieces {
            let piece = Bytes::copy_from_slice(piece);
            parser.feed(piece, &mut events).expect("short events");
        }
        events
            .into_iter()
            .map(|event| String::from_utf8(event.to_vec()).expect("UTF-8"))
            .collect()
    }

    #[test]
    fn every_line_ending_and_comment_is_understood() {
        let stream = b": hello\r\ndata: one\r\n\r\nevent: x\ndata:two\ndata: lines\n\nid: 3\n\ndata\r\rdata: three\r\r";
        assert_eq!(parse(&[stream]), ["one", "two\nlines", "three"]);
    }

    #[test]
    fn an_unfinished_event_is_not_given() {
        assert!(parse(&[b"data: half"]).is_empty());
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut parser = SseParser::default();
        let chunk = Bytes::from(vec![b'x'; EVENT_LIMIT + 1]);
        assert_eq!(parser.feed(chunk, &mut VecDeque::new()), Err(TooLong));
    }

    proptest! {
        #[test]
        fn splits_do_not_matter(cuts in prop::collection::vec(0_usize..60, 0..6)) {
            let stream = "data: {\"text\": \"é🦀\"}\r\n\r\n: c\n\ndata: [DONE]\n\n".as_bytes();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
            prop_assert_eq!(parse(&pieces), ["{\"text\": \"é🦀\"}", "[DONE]"]);
        }
    }
}
