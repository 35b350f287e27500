//! A request as a remote API gets it: as the client sent it, but for the model's name.

use std::ops::Range;

use bytes::Bytes;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Map, Value};

use crate::types::{ChatRequest, SentBody};

const MODEL: &str = "model";
const STREAM_OPTIONS: &str = "stream_options";
const INCLUDE_USAGE: &str = "include_usage";
/// What our fields take beside a model's name, in bytes.
const OURS: usize = 64;

/// The body for an API that knows the model by this name.
pub fn upstream_body(request: &ChatRequest, model: &str) -> Bytes {
    match request.body.sent() {
        Some(sent) => edited(sent, request, model),
        None => json(&UpstreamBody { request, model }).into(),
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("objects of JSON can be written")
}

/// A body whose text goes on, but for what is ours.
fn edited(sent: &SentBody, request: &ChatRequest, model: &str) -> Bytes {
    let mut text = Vec::with_capacity(sent.text().len() + model.len() + OURS);
    text.extend_from_slice(sent.text());
    // Usage is counted for every answer, whether or not the client wants to see it.
    let options = (request.stream && !request.include_usage).then(|| {
        // No other option is among those of a body that goes on.
        let options = json(&WithUsage(None));
        (STREAM_OPTIONS, sent.stream_options(), options)
    });
    let mut edits = [Some((MODEL, sent.model(), json(&model))), options];
    // From the end, so that places stay where they are.
    edits.sort_by_key(|edit| {
        let place = edit.as_ref().and_then(|(_, place, _)| place.as_ref());
        std::cmp::Reverse(place.map_or(0, |place| place.start))
    });
    for (name, place, value) in edits.into_iter().flatten() {
        match place {
            Some(place) => drop(text.splice(place, value)),
            None => insert(&mut text, name, &value),
        }
    }
    text.into()
}

/// Put a field before all others of an object that has some.
fn insert(text: &mut Vec<u8>, name: &str, value: &[u8]) {
    let start = text
        .iter()
        .position(|byte| *byte == b'{')
        .map_or(0, |at| at + 1);
    let field = [b"\"", name.as_bytes(), b"\":", value, b","].concat();
    text.splice(Range { start, end: start }, field);
}

/// What is written field by field.
struct UpstreamBody<'a> {
    request: &'a ChatRequest,
    model: &'a str,
}

impl Serialize for UpstreamBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { request, model } = self;
        let is_ours = |name: &str| name == MODEL || (name == STREAM_OPTIONS && request.stream);
        let mut body = serializer.serialize_map(None)?;
        for (name, value) in request
            .body
            .fields()
            .iter()
            .filter(|(name, _)| !is_ours(name))
        {
            body.serialize_entry(name, value)?;
        }
        body.serialize_entry(MODEL, model)?;
        if request.stream {
            let options = request
                .body
                .fields()
                .get(STREAM_OPTIONS)
                .and_then(Value::as_object);
            body.serialize_entry(STREAM_OPTIONS, &WithUsage(options))?;
        }
        body.end()
    }
}

struct WithUsage<'a>(Option<&'a Map<String, Value>>);

impl Serialize for WithUsage<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut options = serializer.serialize_map(None)?;
        for (name, value) in self.0.into_iter().flatten() {
            if name != INCLUDE_USAGE {
                options.serialize_entry(name, value)?;
            }
        }
        options.serialize_entry(INCLUDE_USAGE, &true)?;
        options.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What an API gets, whichever way the request was read.
    fn body(sent: Value) -> Value {
        let text = format!(" {sent}");
        let Value::Object(object) = sent else {
            panic!("not an object")
        };
        let request = ChatRequest::from_object(object).expect("valid");
        let written = upstream_body(&request, "far \"model\"");
        let written: Value = serde_json::from_slice(&written).expect("JSON");
        let request = ChatRequest::parse(&Bytes::from(text)).expect("valid");
        let edited = upstream_body(&request, "far \"model\"");
        assert_eq!(
            serde_json::from_slice::<Value>(&edited).expect("JSON"),
            written
        );
        written
    }

    #[test]
    fn all_but_the_model_is_passed_on_unchanged() {
        let sent = json!({
            "model": "near-model", "messages": [{"role": "user", "content": "hi", "name": "kim"}],
            "tools": [{"type": "function"}], "novel": {"x": 1}, "temperature": 0.3,
        });
        let mut expected = sent.clone();
        expected["model"] = "far \"model\"".into();
        assert_eq!(body(sent), expected);
    }

    #[test]
    fn a_stream_always_asks_for_usage() {
        let messages = json!([{"role": "user", "content": "hi"}]);
        let sent =
            body(json!({"messages": messages, "stream": true, "stream_options": {"novel": 1}}));
        assert_eq!(
            sent["stream_options"],
            json!({"novel": 1, "include_usage": true})
        );
        let sent = body(json!({"messages": messages, "stream": true}));
        assert_eq!(sent["stream_options"], json!({"include_usage": true}));
    }

    #[test]
    fn what_is_passed_on_keeps_its_digits_and_its_order() {
        let told = |text: &'static str| {
            let request = ChatRequest::parse(&Bytes::from_static(text.as_bytes())).expect("valid");
            String::from_utf8(upstream_body(&request, "far").to_vec()).expect("UTF-8")
        };
        let messages = r#""messages":[{"role":"user","content":"\u0068i"}]"#;
        let options = r#""stream_options":{"include_usage":true}"#;
        assert_eq!(
            told(
                r#" {"x": 1.10, "messages":[{"role":"user","content":"\u0068i"}], "model": "near", "stream_options": {"include_usage": false}, "stream": true}"#
            ),
            format!(
                r#" {{"x": 1.10, {messages}, "model": "far", "stream_options": {{"include_usage":true}}, "stream": true}}"#
            )
        );
        assert_eq!(
            told(r#"{"messages":[{"role":"user","content":"\u0068i"}],"stream":true}"#),
            format!(r#"{{{options},"model":"far",{messages},"stream":true}}"#)
        );
        assert_eq!(
            told(
                r#"{"stream":true,"model":"near","messages":[{"role":"user","content":"\u0068i"}]}"#
            ),
            format!(r#"{{{options},"stream":true,"model":"far",{messages}}}"#)
        );
    }
}
