//! An event of a streamed answer, as it goes to the client.

use serde_json::Value;

/// A server-sent event whose data is JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedEvent {
    /// Its name, which its data repeats as `type`.
    pub name: &'static str,
    /// Its data.
    pub data: Value,
}

impl NamedEvent {
    /// An event with these fields beside its type.
    pub fn new(name: &'static str, mut data: Value) -> Self {
        if let Value::Object(fields) = &mut data {
            fields.insert("type".into(), name.into());
        }
        Self { name, data }
    }
}
