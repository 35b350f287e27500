//! Any bytes that an API may send as a stream.

use claw_crds::gateway_config::ProviderConfig;

use super::super::dialect::EventReader;
use super::*;
use crate::fuzz_corpus;

const PROVIDERS: [ProviderConfig; 3] = [
    ProviderConfig::OpenAI,
    ProviderConfig::Anthropic,
    ProviderConfig::Gemini,
];

fn parse<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<VecDeque<Bytes>, TooLong> {
    let mut parser = SseParser::default();
    let mut events = VecDeque::new();
    for piece in pieces {
        parser.feed(Bytes::copy_from_slice(piece), &mut events)?;
    }
    Ok(events)
}

/// The events are the same however the bytes are split, and nothing in them is worse than an error.
fn read(bytes: &[u8]) {
    let events = parse(std::iter::once(bytes));
    assert_eq!(events, parse(bytes.chunks(1)));
    assert_eq!(events, parse(bytes.chunks(7)));
    for provider in PROVIDERS {
        let mut reader = EventReader::new(provider);
        for event in events.iter().flatten() {
            if reader.take(event).is_err() {
                break;
            }
        }
    }
}

#[test]
fn streams() {
    bolero::check!(name = "streams").for_each(read);
    fuzz_corpus::damage("provider/sse/__fuzz__/streams", read);
}

#[test]
fn many_short_lines_are_joined_once() {
    // Copied over and over, these would be a terabyte.
    let mut stream = b"data:a\n".repeat(1 << 20);
    stream.push(b'\n');
    let events = parse(stream.chunks(64 << 10)).expect("short enough");
    assert_eq!(events[0].len(), (2 << 20) - 1);
}
