//! What is recorded.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::content::Content;

/// A record that is not written yet.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) at: Timestamp,
    pub(super) event: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request is over.
    Request(Box<Request>),
    /// A message of a channel was dealt with.
    ChannelMessage(Box<ChannelMessage>),
    /// The program began to record.
    Started {
        /// Of the program.
        version: &'static str,
    },
    /// The program ends.
    Stopped,
    /// A configuration is in force.
    ConfigurationApplied {
        /// Where it came from.
        origin: String,
        /// Its hash.
        hash: String,
    },
    /// A configuration was refused.
    ConfigurationRefused {
        /// Where it came from.
        origin: String,
        /// One line each.
        problems: Vec<String>,
    },
    /// The serving certificate is another one.
    CertificateChanged {
        /// SHA-256 of the chain as PEM; absent without TLS.
        sha256: Option<String>,
    },
    /// Other callers are let in than before.
    AccessChanged {
        /// Names of keys that are new.
        added: Vec<String>,
        /// Names of keys that are gone.
        removed: Vec<String>,
        /// Whether everybody is let in.
        anonymous: bool,
    },
    /// The log is switched off by the configuration.
    Disabled,
    /// Records could not be kept.
    Lost {
        /// How many.
        records: u64,
    },
    /// Records were deleted that a sink never got.
    Undelivered {
        /// Its name.
        sink: String,
        /// The first of them.
        first: u64,
        /// The last of them.
        last: u64,
    },
    /// A crash left half a line, which was cut off.
    Repaired {
        /// How many bytes were cut.
        bytes: u64,
        /// Their SHA-256.
        sha256: String,
    },
    /// The log ended before the record that its manifest names.
    TailMissing {
        /// The last record that is there.
        found: u64,
        /// The last record that was there.
        expected: u64,
    },
    /// The manifest was not there or not readable, and was made anew from the segments.
    ManifestMissing,
    /// Old records were deleted.
    Pruned {
        /// The last of them.
        through: u64,
        /// Its hash.
        hash: String,
    },
}

/// A request that is over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Where the connection comes from.
    pub client: Option<IpAddr>,
    /// The caller, where one was identified.
    pub caller: Option<Arc<str>>,
    /// HTTP method.
    pub method: http::Method,
    /// Path without query.
    pub path: String,
    /// Name of the request.
    pub id: String,
    /// Trace that the request belongs to.
    pub trace: Option<String>,
    /// The model that answered.
    pub model: Option<String>,
    /// Status of the answer; 499 where the client left before it.
    pub status: u16,
    /// Whether the client got the answer to its last byte.
    pub is_complete: bool,
    /// Why it was refused or failed, as in error bodies.
    pub reason: Option<&'static str>,
    /// Tokens read and written.
    pub tokens: Option<(u64, u64)>,
    /// To the last byte.
    pub duration: Duration,
    /// What was said, where it is to be recorded.
    pub content: Option<Content>,
}

/// A message of a channel that was dealt with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelMessage {
    /// The channel.
    pub channel: String,
    /// Its platform.
    pub platform: &'static str,
    /// The model that the channel asks.
    pub model: String,
    /// What became of the message.
    pub outcome: &'static str,
    /// What was said, where it is to be recorded.
    pub content: Option<Content>,
}

impl Event {
    /// What was said.
    pub(super) fn content(&self) -> Option<&Content> {
        match self {
            Self::Request(request) => request.content.as_ref(),
            Self::ChannelMessage(message) => message.content.as_ref(),
            _ => None,
        }
    }

    pub(super) fn content_mut(&mut self) -> Option<&mut Content> {
        match self {
            Self::Request(request) => request.content.as_mut(),
            Self::ChannelMessage(message) => message.content.as_mut(),
            _ => None,
        }
    }
}
