//! Pieces that say the same as the one before but for their text. Pure.

use bytes::Bytes;

use crate::conversion::TextShape;
use crate::types::{ChatChunk, Text};

/// After so many pieces of ever new shape, none is expected any more.
const PATIENCE: u32 = 16;

/// Knows a piece again that has the shape of an earlier one.
#[derive(Debug, Default)]
pub(super) struct Recurrence {
    shape: Option<TextShape>,
    learnt: u32,
}

impl Recurrence {
    /// The text of an event that is the last piece again, but for its text.
    pub(super) fn text(&mut self, event: &Bytes) -> Option<Text> {
        let found = self.shape.as_ref()?.find(event)?;
        self.learnt = 0;
        Some(Text {
            json: event.slice(found.range),
            bytes: found.bytes,
        })
    }

    /// The last piece is now this one, read from that event.
    pub(super) fn learn(&mut self, event: &[u8], chunk: &ChatChunk) {
        // What a usage or an end is worth, nobody says twice.
        let is_plain = chunk.usage.is_none() && !chunk.is_last_of_answer();
        self.shape = (is_plain && self.learnt < PATIENCE)
            .then(|| TextShape::of(event))
            .flatten();
        self.learnt = self.learnt.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::types::{Delta, Usage};

    fn chunk(text: &str) -> (ChatChunk, Bytes) {
        let chunk = ChatChunk::piece("c", "m", Delta::text(text.into()), None);
        let event = json!(chunk).to_string().into();
        (chunk, event)
    }

    #[test]
    fn a_text_is_known_again_after_a_piece_of_its_shape() {
        let mut recurrence = Recurrence::default();
        let ((first, event), (_, next)) = (chunk("one"), chunk("t\"wo"));
        assert_eq!(recurrence.text(&next), None);
        recurrence.learn(&event, &first);
        let text = recurrence.text(&next).expect("the same shape");
        assert_eq!((&*text.json, text.bytes), (&br#""t\"wo""#[..], 4));
    }

    #[test]
    fn an_end_and_a_usage_are_never_repeated() {
        let (plain, _) = chunk("one");
        let mut last = plain.clone();
        last.choices[0].finish_reason = Some("stop".into());
        let mut with_usage = plain;
        with_usage.usage = Some(Usage::new(1, 2));
        for chunk in [last, with_usage] {
            let event = Bytes::from(json!(chunk).to_string());
            let mut recurrence = Recurrence::default();
            recurrence.learn(&event, &chunk);
            assert_eq!(recurrence.text(&event), None, "{chunk:?}");
        }
    }

    #[test]
    fn an_api_that_never_repeats_itself_is_not_compared_for_ever() {
        let mut recurrence = Recurrence::default();
        let (chunk, event) = chunk("one");
        for _ in 0..=PATIENCE {
            recurrence.learn(&event, &chunk);
        }
        assert_eq!(recurrence.text(&event), None);
    }
}
