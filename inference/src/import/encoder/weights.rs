//! Weights in a safetensors file, read one at a time.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::Path,
};

use half::{bf16, f16};
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

/// A header is a list of names; none is larger.
const LARGEST_HEADER: u64 = 64 << 20;
/// The bytes that tell the header's length.
const LENGTH_BYTES: usize = 8;

/// Why weights cannot be read.
#[derive(Debug, Error)]
pub enum EncoderWeightsError {
    /// The file cannot be read.
    #[error("failed to read the file")]
    Read(#[from] io::Error),
    /// The file does not begin as safetensors files do.
    #[error("the file is no safetensors file: {problem}")]
    Format {
        /// What is wrong.
        problem: &'static str,
    },
    /// The header is not what it has to be.
    #[error("failed to understand the header of the file")]
    Header(#[from] serde_json::Error),
    /// A tensor lies outside of the file, or has another size than its shape.
    #[error("the tensor {name} does not fit its place in the file; the file is damaged")]
    Place {
        /// The tensor's name.
        name: String,
    },
    /// Numbers that we do not read.
    #[error("the tensor {name} is of {found}; F32, F16 and BF16 can be read")]
    Type {
        /// The tensor's name.
        name: String,
        /// Its type.
        found: String,
    },
    /// A weight that the model needs is not there.
    #[error("the tensor {name} is missing; the file is of another model")]
    Missing {
        /// The tensor's name.
        name: String,
    },
    /// A weight has another shape than the description says.
    #[error("the tensor {name} has the shape {found:?}, where {expected:?} is expected")]
    Shape {
        /// The tensor's name.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that follows from the description.
        expected: Vec<usize>,
    },
}

#[derive(Debug, Clone, Deserialize)]
struct Info {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

/// An open file, and which of its tensors were read.
#[derive(Debug)]
pub(super) struct Weights {
    file: File,
    tensors: BTreeMap<String, Info>,
    data: u64,
    /// What all names of this file begin with.
    prefix: &'static str,
    unused: BTreeSet<String>,
}

impl Weights {
    /// Opens a file. Names of tensors may begin with one of `prefixes`, as those of models with a head do.
    pub(super) fn open(
        path: &Path,
        prefixes: &[&'static str],
    ) -> Result<Self, EncoderWeightsError> {
        let mut file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let mut length = [0; LENGTH_BYTES];
        let short = |_| EncoderWeightsError::Format {
            problem: "it is too short",
        };
        file.read_exact(&mut length).map_err(short)?;
        let length = u64::from_le_bytes(length);
        if length > LARGEST_HEADER || length > bytes - LENGTH_BYTES as u64 {
            return Err(EncoderWeightsError::Format {
                problem: "its header is longer than the file",
            });
        }
        let mut header = Vec::new();
        (&mut file).take(length).read_to_end(&mut header)?;
        let entries: BTreeMap<String, Value> = serde_json::from_slice(&header)?;
        let data = LENGTH_BYTES as u64 + length;
        let mut tensors = BTreeMap::new();
        for (name, entry) in entries {
            if name == "__metadata__" {
                continue;
            }
            let info: Info = serde_json::from_value(entry)?;
            let [start, end] = info.data_offsets;
            if start > end || end > bytes - data {
                return Err(EncoderWeightsError::Place { name });
            }
            tensors.insert(name, info);
        }
        let is_common = |prefix: &&&str| tensors.keys().any(|name| name.starts_with(**prefix));
        let prefix = prefixes.iter().find(is_common).copied().unwrap_or("");
        Ok(Self {
            file,
            unused: tensors.keys().cloned().collect(),
            tensors,
            data,
            prefix,
        })
    }

    /// Bytes of all tensors.
    pub(super) fn bytes(&self) -> u64 {
        let bytes = self.tensors.values().map(|info| info.data_offsets);
        bytes.map(|[start, end]| end - start).sum()
    }

    /// What was not read, and does not begin with one of `harmless`.
    pub(super) fn first_unused(&self, harmless: &[&str]) -> Option<&str> {
        let is_harmless = |name: &str| harmless.iter().any(|part| name.starts_with(part));
        let own = |name: &String| {
            let name = name.strip_prefix(self.prefix).unwrap_or(name);
            !is_harmless(name)
        };
        self.unused
            .iter()
            .find(|name| own(name))
            .map(String::as_str)
    }

    /// A tensor of the encoder, row by row.
    pub(super) fn read(
        &mut self,
        name: &str,
        shape: &[usize],
    ) -> Result<Vec<f32>, EncoderWeightsError> {
        self.read_whole_name(&format!("{}{name}", self.prefix), shape)
    }

    /// A tensor beside the encoder.
    pub(super) fn read_whole_name(
        &mut self,
        name: &str,
        shape: &[usize],
    ) -> Result<Vec<f32>, EncoderWeightsError> {
        // Old checkpoints call what scales and shifts by other names.
        let old = name
            .replace("LayerNorm.weight", "LayerNorm.gamma")
            .replace("LayerNorm.bias", "LayerNorm.beta");
        let missing = || EncoderWeightsError::Missing {
            name: name.to_owned(),
        };
        let (name, info) = [name, old.as_str()]
            .into_iter()
            .find_map(|name| Some((name.to_owned(), self.tensors.get(name)?.clone())))
            .ok_or_else(missing)?;
        if info.shape != shape {
            return Err(EncoderWeightsError::Shape {
                name,
                found: info.shape,
                expected: shape.to_vec(),
            });
        }
        self.unused.remove(&name);
        let count: usize = shape.iter().product();
        let [start, end] = info.data_offsets;
        let width = match info.dtype.as_str() {
            "F32" => 4,
            "F16" | "BF16" => 2,
            other => {
                return Err(EncoderWeightsError::Type {
                    found: other.to_owned(),
                    name,
                });
            }
        };
        let Some(bytes) = usize::try_from(end - start)
            .ok()
            .filter(|bytes| Some(*bytes) == count.checked_mul(width))
        else {
            return Err(EncoderWeightsError::Place { name });
        };
        self.file.seek(SeekFrom::Start(self.data + start))?;
        let mut raw = vec![0; bytes];
        self.file.read_exact(&mut raw)?;
        Ok(floats(&info.dtype, &raw))
    }
}

fn floats(kind: &str, raw: &[u8]) -> Vec<f32> {
    let halves = || raw.chunks_exact(2).map(|bytes| [bytes[0], bytes[1]]);
    match kind {
        "F16" => halves()
            .map(|bytes| f16::from_le_bytes(bytes).to_f32())
            .collect(),
        "BF16" => halves()
            .map(|bytes| bf16::from_le_bytes(bytes).to_f32())
            .collect(),
        _ => raw
            .chunks_exact(4)
            .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn file(header: &Value, data: &[u8]) -> tempfile::NamedTempFile {
        let header = header.to_string();
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(data);
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), bytes).expect("written");
        file
    }

    fn tensor(kind: &str, shape: &[usize], offsets: [u64; 2]) -> Value {
        json!({"dtype": kind, "shape": shape, "data_offsets": offsets})
    }

    #[test]
    fn numbers_of_all_three_types_are_read() {
        let mut data = 1.5_f32.to_le_bytes().to_vec();
        data.extend(f16::from_f32(-2.0).to_le_bytes());
        data.extend(bf16::from_f32(3.0).to_le_bytes());
        let header = json!({
            "__metadata__": {"format": "pt"},
            "bert.a": tensor("F32", &[1], [0, 4]),
            "bert.b.LayerNorm.gamma": tensor("F16", &[1, 1], [4, 6]),
            "c": tensor("BF16", &[1], [6, 8]),
            "bert.pooler.x": tensor("I64", &[0], [8, 8]),
        });
        let file = file(&header, &data);
        let mut weights = Weights::open(file.path(), &["bert."]).expect("valid");
        assert_eq!(weights.bytes(), 8);
        assert_eq!(weights.read("a", &[1]).expect("there"), [1.5]);
        let scale = weights.read("b.LayerNorm.weight", &[1, 1]);
        assert_eq!(scale.expect("there"), [-2.0]);
        assert_eq!(weights.first_unused(&["pooler."]), Some("c"));
        assert_eq!(weights.read_whole_name("c", &[1]).expect("there"), [3.0]);
        assert_eq!(weights.first_unused(&["pooler."]), None);
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let header = json!({"a": tensor("F32", &[2], [0, 4]), "b": tensor("I8", &[4], [0, 4])});
        let file = file(&header, &[0; 4]);
        let mut weights = Weights::open(file.path(), &[]).expect("valid");
        for (name, shape, told) in [
            ("x", 1, "x is missing"),
            ("a", 1, "a has the shape [2]"),
            ("a", 2, "a does not fit"),
            ("b", 4, "b is of I8"),
        ] {
            let message = weights.read(name, &[shape]).expect_err("wrong").to_string();
            assert!(message.contains(told), "{message}");
        }
    }

    #[test]
    fn damaged_files_are_refused() {
        let outside = json!({"a": tensor("F32", &[2], [0, 8])});
        for (file, told) in [
            (file(&outside, &[0; 4]), "a does not fit"),
            (file(&json!(7), &[]), "header"),
        ] {
            let error = Weights::open(file.path(), &[]).expect_err("damaged");
            assert!(error.to_string().contains(told), "{error}");
        }
        let file = tempfile::NamedTempFile::new().expect("a file");
        for content in [vec![1, 2], u64::MAX.to_le_bytes().to_vec()] {
            std::fs::write(file.path(), content).expect("written");
            let error = Weights::open(file.path(), &[]).expect_err("damaged");
            assert!(error.to_string().contains("no safetensors"), "{error}");
        }
    }
}
