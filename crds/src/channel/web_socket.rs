//! The gateway's own WebSocket protocol.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// JSON messages in, streamed JSON messages out; see docs/channels.md.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebSocket {}
