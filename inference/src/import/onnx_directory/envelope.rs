//! The messages of `onnx.proto` as envelopes: what a conversion looks at is unpacked, all else stays bytes.
//!
//! The bytes are views of the file's, so that weights within a graph are in memory once.

use prost::{Message, bytes::Bytes};

use crate::import::onnx::message::{OperatorSet, Property, ValueInfo};

/// `ModelProto`
#[derive(Clone, PartialEq, Message)]
pub(super) struct ModelEnvelope {
    #[prost(int64, tag = "1")]
    pub(super) ir_version: i64,
    #[prost(string, tag = "2")]
    pub(super) producer: String,
    #[prost(string, tag = "3")]
    pub(super) producer_version: String,
    #[prost(string, tag = "4")]
    pub(super) domain: String,
    #[prost(int64, tag = "5")]
    pub(super) model_version: i64,
    #[prost(string, tag = "6")]
    pub(super) description: String,
    #[prost(message, required, tag = "7")]
    pub(super) graph: GraphEnvelope,
    #[prost(message, repeated, tag = "8")]
    pub(super) operator_sets: Vec<OperatorSet>,
    #[prost(bytes = "bytes", repeated, tag = "14")]
    pub(super) metadata: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "25")]
    pub(super) functions: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "26")]
    pub(super) configurations: Vec<Bytes>,
}

/// `GraphProto`, without the annotations of intermediate shapes, which the runtime infers again.
#[derive(Clone, PartialEq, Message)]
pub(super) struct GraphEnvelope {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(super) nodes: Vec<Bytes>,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(bytes = "bytes", repeated, tag = "5")]
    pub(super) initializers: Vec<Bytes>,
    #[prost(string, tag = "10")]
    pub(super) description: String,
    #[prost(message, repeated, tag = "11")]
    pub(super) inputs: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "12")]
    pub(super) outputs: Vec<ValueInfo>,
    #[prost(bytes = "bytes", repeated, tag = "14")]
    pub(super) quantization_annotations: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "15")]
    pub(super) sparse_initializers: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "16")]
    pub(super) metadata: Vec<Bytes>,
}

/// `NodeProto`
#[derive(Clone, PartialEq, Message)]
pub(super) struct NodeEnvelope {
    #[prost(string, repeated, tag = "1")]
    pub(super) inputs: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(super) outputs: Vec<String>,
    #[prost(string, tag = "3")]
    pub(super) name: String,
    #[prost(string, tag = "4")]
    pub(super) kind: String,
    #[prost(bytes = "bytes", repeated, tag = "5")]
    pub(super) attributes: Vec<Bytes>,
    #[prost(string, tag = "6")]
    pub(super) description: String,
    #[prost(string, tag = "7")]
    pub(super) domain: String,
    #[prost(string, tag = "8")]
    pub(super) overload: String,
    #[prost(bytes = "bytes", repeated, tag = "9")]
    pub(super) metadata: Vec<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "10")]
    pub(super) device_configurations: Vec<Bytes>,
}

/// `TensorProto`, without its values.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorHeader {
    #[prost(string, tag = "8")]
    pub(super) name: String,
    #[prost(message, repeated, tag = "13")]
    pub(super) external_data: Vec<Property>,
    #[prost(int32, tag = "14")]
    pub(super) data_location: i32,
}

impl TensorHeader {
    /// Where external values lie: `location`, `offset` or `length`.
    pub(super) fn property(&self, key: &str) -> Option<&str> {
        Property::find(&self.external_data, key)
    }
}
