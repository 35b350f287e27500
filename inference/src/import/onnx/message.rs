//! The messages of `onnx.proto` that we write, with the field numbers of the ONNX specification.

use prost::{Enumeration, Message, Oneof};

/// `TensorProto.DataLocation.EXTERNAL`.
pub(in crate::import) const EXTERNAL: i32 = 1;

/// `ModelProto`
#[derive(Clone, PartialEq, Message)]
pub(in crate::import) struct Model {
    #[prost(int64, tag = "1")]
    pub(in crate::import) ir_version: i64,
    #[prost(string, tag = "2")]
    pub(in crate::import) producer: String,
    #[prost(string, tag = "3")]
    pub(in crate::import) producer_version: String,
    #[prost(message, optional, tag = "7")]
    pub(in crate::import) graph: Option<Graph>,
    #[prost(message, repeated, tag = "8")]
    pub(in crate::import) operator_sets: Vec<OperatorSet>,
}

/// `OperatorSetIdProto`
#[derive(Clone, PartialEq, Message)]
pub(in crate::import) struct OperatorSet {
    #[prost(string, tag = "1")]
    pub(in crate::import) domain: String,
    #[prost(int64, tag = "2")]
    pub(in crate::import) version: i64,
}

/// `GraphProto`
#[derive(Clone, PartialEq, Message)]
pub(in crate::import) struct Graph {
    #[prost(message, repeated, tag = "1")]
    pub(in crate::import) nodes: Vec<Node>,
    #[prost(string, tag = "2")]
    pub(in crate::import) name: String,
    #[prost(message, repeated, tag = "5")]
    pub(in crate::import) constants: Vec<Tensor>,
    #[prost(message, repeated, tag = "11")]
    pub(in crate::import) inputs: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "12")]
    pub(in crate::import) outputs: Vec<ValueInfo>,
}

/// `NodeProto`
#[derive(Clone, PartialEq, Message)]
pub(in crate::import) struct Node {
    #[prost(string, repeated, tag = "1")]
    pub(in crate::import) inputs: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(in crate::import) outputs: Vec<String>,
    #[prost(string, tag = "3")]
    pub(in crate::import) name: String,
    #[prost(string, tag = "4")]
    pub(in crate::import) kind: String,
    #[prost(message, repeated, tag = "5")]
    pub(in crate::import) attributes: Vec<Attribute>,
    #[prost(string, tag = "7")]
    pub(in crate::import) domain: String,
}

/// `AttributeProto`
#[derive(Clone, PartialEq, Message)]
pub(in crate::import) struct Attribute {
    #[prost(string, tag = "1")]
    pub(in crate::import) name: String,
    #[prost(float, tag = "2")]
    pub(in crate::import) float: f32,
    #[prost(int64, tag = "3")]
    pub(in crate::import) int: i64,
    #[prost(bytes = "vec", tag = "4")]
    pub(in crate::import) text: Vec<u8>,
    #[prost(int64, repeated, tag = "8")]
    pub(in crate::import) ints: Vec<i64>,
    #[prost(enumeration = "AttributeKind", tag = "20")]
    pub(in crate::import) kind: i32,
}

/// `AttributeProto.AttributeType`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub(in crate::import) enum AttributeKind {
    Undefined = 0,
    Float = 1,
    Int = 2,
    Text = 3,
    Ints = 7,
}

/// `TensorProto`
#[derive(Clone, PartialEq, Message)]
pub(in crate::import) struct Tensor {
    #[prost(int64, repeated, tag = "1")]
    pub(in crate::import) dimensions: Vec<i64>,
    #[prost(int32, tag = "2")]
    pub(in crate::import) element_type: i32,
    #[prost(string, tag = "8")]
    pub(in crate::import) name: String,
    #[prost(bytes = "vec", tag = "9")]
    pub(in crate::import) raw_data: Vec<u8>,
    #[prost(message, repeated, tag = "13")]
    pub(in crate::import) external_data: Vec<Property>,
    #[prost(int32, tag = "14")]
    pub(in crate::import) data_location: i32,
}

/// `StringStringEntryProto`
#[derive(Clone, PartialEq, Message)]
pub(in crate::import) struct Property {
    #[prost(string, tag = "1")]
    pub(in crate::import) key: String,
    #[prost(string, tag = "2")]
    pub(in crate::import) value: String,
}

/// `ValueInfoProto`
#[derive(Clone, PartialEq, Message)]
pub(in crate::import) struct ValueInfo {
    #[prost(string, tag = "1")]
    pub(in crate::import) name: String,
    #[prost(message, optional, tag = "2")]
    pub(in crate::import) kind: Option<Type>,
}

/// `TypeProto`
#[derive(Clone, PartialEq, Message)]
pub(in crate::import) struct Type {
    #[prost(oneof = "TypeValue", tags = "1")]
    pub(in crate::import) value: Option<TypeValue>,
}

/// The one kind of `TypeProto` that we write.
#[derive(Clone, PartialEq, Oneof)]
pub(in crate::import) enum TypeValue {
    #[prost(message, tag = "1")]
    Tensor(TensorType),
}

/// `TypeProto.Tensor`
#[derive(Clone, PartialEq, Message)]
pub(in crate::import) struct TensorType {
    #[prost(int32, tag = "1")]
    pub(in crate::import) element_type: i32,
    #[prost(message, optional, tag = "2")]
    pub(in crate::import) shape: Option<Shape>,
}

/// `TensorShapeProto`
#[derive(Clone, PartialEq, Message)]
pub(in crate::import) struct Shape {
    #[prost(message, repeated, tag = "1")]
    pub(in crate::import) dimensions: Vec<Dimension>,
}

/// `TensorShapeProto.Dimension`
#[derive(Clone, PartialEq, Message)]
pub(in crate::import) struct Dimension {
    #[prost(oneof = "DimensionValue", tags = "1, 2")]
    pub(in crate::import) value: Option<DimensionValue>,
}

/// A dimension's number or name.
#[derive(Clone, PartialEq, Oneof)]
pub(in crate::import) enum DimensionValue {
    #[prost(int64, tag = "1")]
    Fixed(i64),
    #[prost(string, tag = "2")]
    Named(String),
}
