//! The body of a request: text, for as long as nobody wants to know more of it than was found in the text.

use std::ops::Range;
use std::sync::OnceLock;

use bytes::Bytes;
use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::extent::Extent;

/// What a client sent, or what was made of that.
#[derive(Clone, Debug)]
pub struct RequestBody {
    /// Absent where the body has changed since it came.
    sent: Option<SentBody>,
    fields: OnceLock<Map<String, Value>>,
}

/// A body as it came: an object, in the very bytes.
#[derive(Clone, Debug)]
pub struct SentBody {
    /// JSON, readable as a map of fields.
    pub(super) text: Bytes,
    /// Where the values of these fields stand.
    pub(super) model: Option<Range<usize>>,
    pub(super) stream_options: Option<Range<usize>>,
    /// Bytes of `tools`.
    pub(super) tools: usize,
    /// Bytes of what messages say of calls of tools.
    pub(super) calls: usize,
}

impl RequestBody {
    /// All fields.
    pub fn fields(&self) -> &Map<String, Value> {
        self.fields.get_or_init(|| {
            let sent = self.sent.as_ref();
            sent.map_or_else(Map::new, |sent| {
                serde_json::from_slice(&sent.text).expect("was found readable")
            })
        })
    }

    /// All fields, to be changed.
    pub fn fields_mut(&mut self) -> &mut Map<String, Value> {
        self.fields();
        self.sent = None;
        self.fields.get_mut().expect("read just now")
    }

    /// The text, where it says the same as the fields.
    pub fn sent(&self) -> Option<&SentBody> {
        self.sent.as_ref()
    }

    /// Bytes of the descriptions of tools.
    pub fn tool_bytes(&self) -> usize {
        match &self.sent {
            Some(sent) => sent.tools,
            None => self.fields().get("tools").map_or(0, extent),
        }
    }

    /// Bytes of what was called of them so far.
    pub fn call_bytes(&self) -> usize {
        if let Some(sent) = &self.sent {
            return sent.calls;
        }
        let messages = self.fields().get("messages").and_then(Value::as_array);
        let messages = messages.into_iter().flatten();
        let calls = messages.filter_map(|message| message.get("tool_calls"));
        calls.map(extent).sum()
    }
}

fn extent(value: &Value) -> usize {
    let Ok(Extent(bytes)) = Extent::deserialize(value) else {
        return 0;
    };
    if value.is_null() { 0 } else { bytes }
}

impl SentBody {
    /// The text.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Where the model's name stands, where one does.
    pub fn model(&self) -> Option<Range<usize>> {
        self.model.clone()
    }

    /// Where `stream_options` stand, where any do.
    pub fn stream_options(&self) -> Option<Range<usize>> {
        self.stream_options.clone()
    }
}

impl From<Map<String, Value>> for RequestBody {
    fn from(fields: Map<String, Value>) -> Self {
        Self {
            sent: None,
            fields: fields.into(),
        }
    }
}

impl From<SentBody> for RequestBody {
    fn from(sent: SentBody) -> Self {
        Self {
            sent: Some(sent),
            fields: OnceLock::new(),
        }
    }
}

impl PartialEq for RequestBody {
    fn eq(&self, other: &Self) -> bool {
        self.fields() == other.fields()
    }
}
