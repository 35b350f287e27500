//! Writes ONNX models: the graph as a protocol buffer, the weights in a data file beside it.
//!
//! Weights go to the data file as they come, so that no more than one is in memory. What the graph computes is
//! decided elsewhere.

mod data_file;
pub(crate) mod message;

use std::{
    io::{self, Write},
    path::Path,
};

use prost::Message;

use data_file::DataFile;
use message::{
    Attribute, AttributeKind, Dimension, DimensionValue, Graph, Model, Node, OperatorSet, Property,
    Shape, Tensor, TensorType, Type, TypeValue, ValueInfo,
};

/// ONNX's own operators.
pub(crate) const STANDARD: &str = "";
/// ONNX Runtime's further operators.
pub(crate) const CONTRIB: &str = "com.microsoft";

const IR_VERSION: i64 = 10;
const OPERATOR_SET: i64 = 21;
/// Smaller weights lie in the graph itself.
const LARGEST_INLINE: usize = 1024;

/// The element types that we write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ElementType {
    /// 32 bit floats.
    Float,
    /// Bytes.
    Uint8,
    /// 32 bit integers.
    Int32,
    /// 64 bit integers.
    Int64,
    /// 16 bit floats of IEEE 754.
    Float16,
    /// 16 bit floats with the range of 32 bits.
    BFloat16,
}

impl ElementType {
    pub(crate) fn number(self) -> i32 {
        match self {
            Self::Float => 1,
            Self::Uint8 => 2,
            Self::Int32 => 6,
            Self::Int64 => 7,
            Self::Float16 => 10,
            Self::BFloat16 => 16,
        }
    }

    /// The bytes of one.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Uint8 => 1,
            Self::Float16 | Self::BFloat16 => 2,
            Self::Float | Self::Int32 => 4,
            Self::Int64 => 8,
        }
    }
}

/// A dimension of a graph's input or output.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Size {
    /// Always this.
    Fixed(usize),
    /// Known when the graph runs.
    Named(&'static str),
}

/// An operator's setting.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Setting {
    /// A whole number.
    Int(i64),
    /// A float.
    Float(f32),
    /// Whole numbers.
    Ints(&'static [i64]),
    /// A word.
    Text(&'static str),
}

/// One operator of the graph.
#[derive(Debug)]
pub(crate) struct Operator<'a> {
    /// Its type, such as `MatMul`.
    pub(crate) kind: &'a str,
    /// [`STANDARD`] or [`CONTRIB`].
    pub(crate) domain: &'a str,
    /// The names of its inputs; an empty name leaves one out.
    pub(crate) inputs: &'a [&'a str],
    /// The names of its outputs; an empty name leaves one out.
    pub(crate) outputs: &'a [&'a str],
    /// Its settings.
    pub(crate) settings: &'a [(&'a str, Setting)],
}

/// Builds a model and writes its files.
#[derive(Debug)]
pub(crate) struct ModelWriter {
    graph: Graph,
    data: DataFile,
}

impl ModelWriter {
    /// Starts a model whose large weights go to a new file at `data_path`.
    pub(crate) fn create(name: &str, data_path: &Path) -> io::Result<Self> {
        let graph = Graph {
            name: name.to_owned(),
            ..Graph::default()
        };
        Ok(Self {
            graph,
            data: DataFile::create(data_path)?,
        })
    }

    /// Declares an input of the graph.
    pub(crate) fn input(&mut self, name: &str, element: ElementType, shape: &[Size]) {
        self.graph.inputs.push(value_info(name, element, shape));
    }

    /// Declares an output of the graph.
    pub(crate) fn output(&mut self, name: &str, element: ElementType, shape: &[Size]) {
        self.graph.outputs.push(value_info(name, element, shape));
    }

    /// Adds an operator.
    pub(crate) fn operator(&mut self, operator: &Operator<'_>) {
        self.graph.nodes.push(node(operator));
    }

    /// Adds a constant of floats.
    pub(crate) fn floats(
        &mut self,
        name: &str,
        shape: &[usize],
        values: impl Iterator<Item = f32>,
    ) -> io::Result<()> {
        self.constant(
            name,
            ElementType::Float,
            shape,
            values.map(f32::to_le_bytes),
        )
    }

    /// Adds a constant of bytes.
    pub(crate) fn bytes(
        &mut self,
        name: &str,
        shape: &[usize],
        values: impl Iterator<Item = u8>,
    ) -> io::Result<()> {
        self.constant(name, ElementType::Uint8, shape, values.map(|value| [value]))
    }

    /// Adds a small constant of whole numbers.
    pub(crate) fn integers(
        &mut self,
        name: &str,
        shape: &[usize],
        values: &[i64],
    ) -> io::Result<()> {
        self.constant(
            name,
            ElementType::Int64,
            shape,
            values.iter().map(|value| value.to_le_bytes()),
        )
    }

    fn constant<const BYTES: usize>(
        &mut self,
        name: &str,
        element: ElementType,
        shape: &[usize],
        values: impl Iterator<Item = [u8; BYTES]>,
    ) -> io::Result<()> {
        let mut tensor = Tensor {
            dimensions: shape.iter().map(|&size| to_i64(size)).collect(),
            element_type: element.number(),
            name: name.to_owned(),
            ..Tensor::default()
        };
        if shape.iter().product::<usize>() * BYTES < LARGEST_INLINE {
            tensor.raw_data = values.flatten().collect();
        } else {
            let (offset, length) = self.data.append(values)?;
            tensor.data_location = message::EXTERNAL;
            tensor.external_data = vec![
                property("location", self.data.name()),
                property("offset", offset.to_string()),
                property("length", length.to_string()),
            ];
        }
        self.graph.constants.push(tensor);
        Ok(())
    }

    /// Writes the graph to `path` and makes both files durable. Returns the data file's SHA-256 in hexadecimal.
    pub(crate) fn finish(self, path: &Path) -> io::Result<String> {
        let digest = self.data.finish()?;
        let mut file = std::fs::File::create_new(path)?;
        file.write_all(&model(self.graph).encode_to_vec())?;
        file.sync_all()?;
        Ok(digest)
    }
}

/// A model of one graph, with the operators that we know.
pub(crate) fn model(graph: Graph) -> Model {
    Model {
        ir_version: IR_VERSION,
        producer: env!("CARGO_PKG_NAME").to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(graph),
        operator_sets: vec![
            operator_set(STANDARD, OPERATOR_SET),
            operator_set(CONTRIB, 1),
        ],
    }
}

/// An operator as a graph has it, under the name of its first output.
pub(crate) fn node(operator: &Operator<'_>) -> Node {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let settings = operator.settings.iter();
    Node {
        inputs: names(operator.inputs),
        outputs: names(operator.outputs),
        name: operator.outputs[0].to_owned(),
        kind: operator.kind.to_owned(),
        attributes: settings
            .map(|&(name, setting)| attribute(name, setting))
            .collect(),
        domain: operator.domain.to_owned(),
    }
}

fn to_i64(size: usize) -> i64 {
    i64::try_from(size).expect("sizes of tensors that exist fit into 63 bits")
}

fn property(key: &str, value: impl Into<String>) -> Property {
    Property {
        key: key.to_owned(),
        value: value.into(),
    }
}

pub(crate) fn operator_set(domain: &str, version: i64) -> OperatorSet {
    OperatorSet {
        domain: domain.to_owned(),
        version,
    }
}

pub(crate) fn attribute(name: &str, setting: Setting) -> Attribute {
    let mut attribute = Attribute {
        name: name.to_owned(),
        ..Attribute::default()
    };
    match setting {
        Setting::Float(value) => {
            attribute.float = value;
            attribute.set_kind(AttributeKind::Float);
        }
        Setting::Int(value) => {
            attribute.int = value;
            attribute.set_kind(AttributeKind::Int);
        }
        Setting::Ints(values) => {
            attribute.ints = values.to_vec();
            attribute.set_kind(AttributeKind::Ints);
        }
        Setting::Text(value) => {
            attribute.text = value.into();
            attribute.set_kind(AttributeKind::Text);
        }
    }
    attribute
}

pub(crate) fn value_info(name: &str, element: ElementType, shape: &[Size]) -> ValueInfo {
    let dimension = |size: &Size| Dimension {
        value: Some(match *size {
            Size::Fixed(size) => DimensionValue::Fixed(to_i64(size)),
            Size::Named(name) => DimensionValue::Named(name.to_owned()),
        }),
    };
    let shape = Shape {
        dimensions: shape.iter().map(dimension).collect(),
    };
    let tensor = TensorType {
        element_type: element.number(),
        shape: Some(shape),
    };
    ValueInfo {
        name: name.to_owned(),
        kind: Some(Type {
            value: Some(TypeValue::Tensor(tensor)),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_weights_lie_in_the_data_file_and_small_ones_in_the_graph() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut writer =
            ModelWriter::create("test", &directory.path().join("m.data")).expect("created");
        writer
            .bytes("small", &[3], [1, 2, 3].into_iter())
            .expect("written");
        writer
            .floats("a", &[300], (0_u16..300).map(f32::from))
            .expect("written");
        writer
            .bytes("b", &[2000], std::iter::repeat_n(9, 2000))
            .expect("written");
        let path = directory.path().join("m.onnx");
        let digest = writer.finish(&path).expect("finished");

        let model = Model::decode(std::fs::read(path).expect("a file").as_slice())
            .expect("a valid message");
        let constants = model.graph.expect("a graph").constants;
        assert_eq!(constants[0].raw_data, [1, 2, 3]);
        assert_eq!(constants[1].external_data[1], property("offset", "0"));
        assert_eq!(constants[2].external_data[1], property("offset", "4096"));
        let data = std::fs::read(directory.path().join("m.data")).expect("a file");
        assert_eq!(data[4..8], 1.0_f32.to_le_bytes());
        assert_eq!(data[4096..], [9; 2000]);
        assert_eq!(digest, crate::digest::sha256_hex(&data));
    }
}
