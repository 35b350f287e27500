//! The JSON of a streamed piece around its text. Pure.
//!
//! One piece of an answer mostly differs in nothing but its text from the one before. Where that is so, byte by byte, its
//! text says all of it, and the piece need not be read and written field by field.

use std::fmt;
use std::ops::Range;

use bytes::BufMut;
use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, de};

/// What stands before the text and after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextShape {
    before: Vec<u8>,
    after: Vec<u8>,
}

/// Where the text of a piece stands, quotes included, and how many bytes it has when it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundText {
    /// Of the piece's JSON.
    pub range: Range<usize>,
    /// In UTF-8, without escapes.
    pub bytes: usize,
}

impl TextShape {
    /// Of a piece with one answer, whose text has no escapes; of others there is none.
    pub fn of(json: &[u8]) -> Option<Self> {
        let Piece {
            choices: (Choice {
                delta: Delta { content },
            },),
        } = serde_json::from_slice(json).ok()?;
        // A part of `json`, since it was read without a copy.
        let start = (content.as_ptr() as usize).checked_sub(json.as_ptr() as usize)?;
        let before = json.get(..start.checked_sub(1)?)?;
        let after = json.get(start + content.len() + 1..)?;
        Some(Self {
            before: before.to_vec(),
            after: after.to_vec(),
        })
    }

    /// The text of a piece that differs in nothing else.
    pub fn find(&self, json: &[u8]) -> Option<FoundText> {
        let rest = json.strip_prefix(&*self.before)?;
        let text = rest.strip_suffix(&*self.after)?;
        let Length(bytes) = serde_json::from_slice(text).ok()?;
        let start = self.before.len();
        Some(FoundText {
            range: start..start + text.len(),
            bytes,
        })
    }

    /// A piece of this shape with another text, which is a string in JSON.
    pub fn write(&self, text: &[u8], out: &mut impl BufMut) {
        for part in [&*self.before, text, &*self.after] {
            out.put_slice(part);
        }
    }
}

#[derive(Deserialize)]
struct Piece<'a> {
    #[serde(borrow)]
    choices: (Choice<'a>,),
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    delta: Delta<'a>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    content: &'a str,
}

/// Of a string, which is read and not kept.
struct Length(usize);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(LengthVisitor)
    }
}

struct LengthVisitor;

impl Visitor<'_> for LengthVisitor {
    type Value = Length;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Length, E> {
        Ok(Length(text.len()))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const PIECE: &str = r#"{"id":"c","choices":[{"index":0,"delta":{"content":"one"},"finish_reason":null}],"x":1}"#;

    fn with_text(text: &str) -> String {
        PIECE.replace(r#""one""#, text)
    }

    #[rstest]
    #[case::plain(r#""two""#, 3)]
    #[case::empty(r#""""#, 0)]
    #[case::escaped(r#""a\n\"b\u00e9""#, 6)]
    #[case::not_ascii(r#""é🦀""#, 6)]
    fn a_piece_that_differs_in_its_text_is_known_by_it(#[case] text: &str, #[case] bytes: usize) {
        let shape = TextShape::of(PIECE.as_bytes()).expect("a text");
        let piece = with_text(text);
        let found = shape.find(piece.as_bytes()).expect("the same shape");
        assert_eq!((&piece[found.range.clone()], found.bytes), (text, bytes));
        let mut written = Vec::new();
        shape.write(&piece.as_bytes()[found.range], &mut written);
        assert_eq!(written, piece.as_bytes());
    }

    #[rstest]
    #[case::no_string("7")]
    #[case::more_than_a_string(r#""a","role":"user""#)]
    #[case::open_string(r#""a"#)]
    #[case::bad_escape(r#""\q""#)]
    #[case::control_character("\"a\nb\"")]
    #[case::nothing("")]
    fn what_is_no_text_is_not_taken_for_one(#[case] text: &str) {
        let shape = TextShape::of(PIECE.as_bytes()).expect("a text");
        assert_eq!(shape.find(with_text(text).as_bytes()), None);
    }

    #[test]
    fn another_piece_has_another_shape() {
        let shape = TextShape::of(PIECE.as_bytes()).expect("a text");
        for other in [
            PIECE.replace("null", r#""stop""#),
            PIECE.replace(r#""x":1"#, r#""x":2"#),
            PIECE[..PIECE.len() - 1].to_owned(),
            PIECE
                .replace("\"one\"", "\"\u{fffd}\"")
                .replace('\u{fffd}', "\\ud800"),
        ] {
            assert_eq!(shape.find(other.as_bytes()), None, "{other}");
        }
        let bytes = [
            PIECE.as_bytes()[..52].to_vec(),
            b"\xff".to_vec(),
            PIECE.as_bytes()[53..].to_vec(),
        ]
        .concat();
        assert_eq!(shape.find(&bytes), None, "not UTF-8");
    }

    #[rstest]
    #[case::two_answers(r#"{"choices":[{"delta":{"content":"a"}},{"delta":{"content":"b"}}]}"#)]
    #[case::no_answer(r#"{"choices":[]}"#)]
    #[case::no_text(r#"{"choices":[{"delta":{"content":null}}]}"#)]
    #[case::two_texts(r#"{"choices":[{"delta":{"content":"a","content":"b"}}]}"#)]
    #[case::escaped(r#"{"choices":[{"delta":{"content":"a\n"}}]}"#)]
    #[case::broken(r#"{"choices":[{"delta":{"content":"a"}}]"#)]
    fn of_other_pieces_there_is_none(#[case] piece: &str) {
        assert_eq!(TextShape::of(piece.as_bytes()), None);
    }
}
