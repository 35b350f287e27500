//! A request as a remote API gets it: as the client sent it, but for the model's name.

use serde_json::{Map, Value, json};

use crate::types::ChatRequest;

/// The body for an upstream that knows the model as `model`.
pub fn upstream_body(request: &ChatRequest, model: &str) -> Map<String, Value> {
    let mut body = request.body.clone();
    body.insert("model".into(), model.into());
    if request.stream {
        // Usage is counted for every answer, whether or not the client wants to see it.
        match body.get_mut("stream_options") {
            Some(Value::Object(options)) => {
                options.insert("include_usage".into(), true.into());
            }
            _ => {
                body.insert("stream_options".into(), json!({"include_usage": true}));
            }
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(sent: Value) -> Value {
        let Value::Object(object) = sent else {
            panic!("not an object")
        };
        Value::Object(upstream_body(
            &ChatRequest::from_object(object).expect("valid"),
            "far-model",
        ))
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
