//! A request as a remote API gets it: as the client sent it, but for the model's name.

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Map, Value};

use crate::types::ChatRequest;

const MODEL: &str = "model";
const STREAM_OPTIONS: &str = "stream_options";
const INCLUDE_USAGE: &str = "include_usage";

/// The body for an upstream that knows the model by another name.
pub struct UpstreamBody<'a> {
    request: &'a ChatRequest,
    model: &'a str,
}

impl<'a> UpstreamBody<'a> {
    /// What is written when it is serialized.
    pub fn new(request: &'a ChatRequest, model: &'a str) -> Self {
        Self { request, model }
    }
}

impl Serialize for UpstreamBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { request, model } = self;
        // Usage is counted for every answer, whether or not the client wants to see it.
        let is_ours = |name: &str| name == MODEL || (name == STREAM_OPTIONS && request.stream);
        let mut body = serializer.serialize_map(None)?;
        for (name, value) in request.body.iter().filter(|(name, _)| !is_ours(name)) {
            body.serialize_entry(name, value)?;
        }
        body.serialize_entry(MODEL, model)?;
        if request.stream {
            let options = request.body.get(STREAM_OPTIONS).and_then(Value::as_object);
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

    fn body(sent: Value) -> Value {
        let Value::Object(object) = sent else {
            panic!("not an object")
        };
        let request = ChatRequest::from_object(object).expect("valid");
        json!(UpstreamBody::new(&request, "far-model"))
    }

    #[test]
    fn all_but_the_model_is_passed_on_unchanged() {
        let sent = json!({
            "model": "near-model", "messages": [{"role": "user", "content": "hi", "name": "kim"}],
            "tools": [{"type": "function"}], "novel": {"x": 1}, "temperature": 0.3,
        });
        let mut expected = sent.clone();
        expected["model"] = "far-model".into();
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
}
