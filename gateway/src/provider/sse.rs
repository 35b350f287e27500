//! Server-sent events out of bytes that are split anywhere. Pure.

/// An event may be this long.
const EVENT_LIMIT: usize = 8 << 20;

/// Collects bytes and gives the data of each complete event.
#[derive(Debug, Default)]
pub(super) struct SseParser {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    after_cr: bool,
}

/// An event of more than [`EVENT_LIMIT`] bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl SseParser {
    /// Take the next bytes; the data of each event that they complete is appended to `events`.
    pub(super) fn feed(&mut self, bytes: &[u8], events: &mut Vec<Vec<u8>>) -> Result<(), TooLong> {
        for &byte in bytes {
            let ends_line = match byte {
                // The second half of CR LF, whose first half ended the line.
                b'\n' if self.after_cr => {
                    self.after_cr = false;
                    continue;
                }
                b'\n' => true,
                b'\r' => {
                    self.after_cr = true;
                    self.end_line(events);
                    continue;
                }
                _ => false,
            };
            self.after_cr = false;
            if ends_line {
                self.end_line(events);
            } else if self.line.len() + self.data.len() >= EVENT_LIMIT {
                return Err(TooLong);
            } else {
                self.line.push(byte);
            }
        }
        Ok(())
    }

    fn end_line(&mut self, events: &mut Vec<Vec<u8>>) {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            if std::mem::take(&mut self.has_data) {
                events.push(data);
            }
            return;
        }
        // Comments, event names, ids and retry hints mean nothing to chat completions.
        if let Some(value) = line.strip_prefix(b"data:") {
            if self.has_data {
                self.data.push(b'\n');
            }
            self.has_data = true;
            self.data
                .extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(pieces: &[&[u8]]) -> Vec<String> {
        let mut parser = SseParser::default();
        let mut events = Vec::new();
        for piece in pieces {
            parser.feed(piece, &mut events).expect("short events");
        }
        events
            .into_iter()
            .map(|event| String::from_utf8(event).expect("UTF-8"))
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
        let chunk = vec![b'x'; EVENT_LIMIT + 1];
        assert_eq!(parser.feed(&chunk, &mut Vec::new()), Err(TooLong));
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
