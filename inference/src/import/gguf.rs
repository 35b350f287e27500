//! Reads GGUF files: header, metadata, and the place of every tensor.
//!
//! A GGUF file is input from outside: each count, length and offset is checked against what the file really holds
//! before anything is allocated or read. What the values mean for a model is decided elsewhere.

mod cursor;
mod metadata;
mod tensor;

use std::io::{self, Read, Seek, SeekFrom};

use thiserror::Error;

use cursor::Cursor;
pub(crate) use metadata::Metadata;
pub use metadata::MetadataError;
pub(crate) use tensor::{TensorInfo, TensorType};

const MAGIC: [u8; 4] = *b"GGUF";
const DEFAULT_ALIGNMENT: u64 = 32;

/// Why a file could not be read as GGUF.
#[derive(Debug, Error)]
pub enum GgufError {
    /// The file begins with something else.
    #[error("not a GGUF file: it begins with {found:02x?}, where \"GGUF\" is expected")]
    NotGguf {
        /// The first four bytes.
        found: [u8; 4],
    },
    /// The layout version is unknown.
    #[error(
        "GGUF version {version} is not supported: versions 2 and 3 are, in little-endian byte order"
    )]
    UnsupportedVersion {
        /// The version field.
        version: u32,
    },
    /// The file ends too early for what it announces.
    #[error(
        "the file is truncated or corrupt: {what} at byte {offset} needs {needed} bytes, and {available} remain; download it again"
    )]
    Truncated {
        /// The part of the file that is incomplete.
        what: String,
        /// Where that part begins.
        offset: u64,
        /// The bytes that part takes.
        needed: u64,
        /// The bytes left in the file.
        available: u64,
    },
    /// A value that no valid file holds.
    #[error("the file is corrupt: {what} at byte {offset} {problem}; download it again")]
    Corrupt {
        /// The part of the file that is wrong.
        what: String,
        /// Where that part begins.
        offset: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// A tensor in an encoding that we cannot decode.
    #[error(
        "tensor {tensor} has the type {found}, which is not supported; supported are {}",
        TensorType::supported_names()
    )]
    UnsupportedTensorType {
        /// The tensor's name.
        tensor: String,
        /// The name or the number of its type.
        found: String,
    },
    /// The operating system refused to read.
    #[error("failed to read the file")]
    Io(#[from] io::Error),
}

/// An opened GGUF file.
#[derive(Debug)]
pub(crate) struct GgufFile<R> {
    source: R,
    metadata: Metadata,
    tensors: Vec<TensorInfo>,
}

impl<R: Read + Seek> GgufFile<R> {
    /// Reads everything but the tensors' data.
    pub(crate) fn open(mut source: R) -> Result<Self, GgufError> {
        let length = source.seek(SeekFrom::End(0))?;
        source.seek(SeekFrom::Start(0))?;
        let mut cursor = Cursor::new(io::BufReader::new(&mut source), length);
        let (tensor_count, entry_count) = read_header(&mut cursor)?;
        let metadata = Metadata::read(&mut cursor, entry_count)?;
        let alignment = read_alignment(&metadata)?;
        let mut tensors = tensor::read_infos(&mut cursor, tensor_count)?;
        tensor::place(&mut tensors, cursor.position(), alignment, length)?;
        Ok(Self {
            source,
            metadata,
            tensors,
        })
    }

    /// The key-value part.
    pub(crate) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// All tensors, in the order of the file.
    pub(crate) fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// Reads one tensor's encoded bytes.
    pub(crate) fn read_tensor(&mut self, tensor: &TensorInfo) -> Result<Vec<u8>, GgufError> {
        self.source.seek(SeekFrom::Start(tensor.file_offset))?;
        let mut bytes = Vec::new();
        let read = (&mut self.source)
            .take(tensor.byte_length)
            .read_to_end(&mut bytes)? as u64;
        if read < tensor.byte_length {
            return Err(GgufError::Truncated {
                what: format!("the data of tensor {}", tensor.name),
                offset: tensor.file_offset,
                needed: tensor.byte_length,
                available: read,
            });
        }
        Ok(bytes)
    }
}

fn read_header<R: Read>(cursor: &mut Cursor<R>) -> Result<(u64, u64), GgufError> {
    let found = cursor.bytes::<4>("the magic number")?;
    if found != MAGIC {
        return Err(GgufError::NotGguf { found });
    }
    let version = cursor.u32("the version")?;
    if !(2..=3).contains(&version) {
        return Err(GgufError::UnsupportedVersion { version });
    }
    let tensor_count = cursor.u64("the number of tensors")?;
    let entry_count = cursor.u64("the number of metadata entries")?;
    Ok((tensor_count, entry_count))
}

fn read_alignment(metadata: &Metadata) -> Result<u64, GgufError> {
    let alignment = metadata
        .optional_u32("general.alignment")
        .map_err(|error| GgufError::Corrupt {
            what: "the metadata".to_owned(),
            offset: 0,
            problem: error.to_string(),
        })?;
    match alignment.map_or(DEFAULT_ALIGNMENT, u64::from) {
        alignment if alignment.is_power_of_two() => Ok(alignment),
        other => Err(GgufError::Corrupt {
            what: "general.alignment".to_owned(),
            offset: 0,
            problem: format!("is {other}, which is not a power of two"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor as Bytes;

    use super::*;

    fn header(version: u32, tensors: u64, entries: u64) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(version.to_le_bytes());
        bytes.extend(tensors.to_le_bytes());
        bytes.extend(entries.to_le_bytes());
        bytes
    }

    fn open(bytes: Vec<u8>) -> Result<GgufFile<Bytes<Vec<u8>>>, GgufError> {
        GgufFile::open(Bytes::new(bytes))
    }

    #[test]
    fn an_empty_gguf_file_opens() {
        let file = open(header(3, 0, 0)).expect("valid");
        assert!(file.tensors().is_empty());
    }

    #[test]
    fn another_format_is_refused_by_its_first_bytes() {
        let error = open(b"PK\x03\x04 and more".to_vec()).expect_err("a zip archive");
        assert!(
            matches!(
                error,
                GgufError::NotGguf {
                    found: [0x50, 0x4b, 3, 4]
                }
            ),
            "{error}"
        );
    }

    #[test]
    fn an_unknown_version_is_refused() {
        let error = open(header(1, 0, 0)).expect_err("version 1");
        assert!(
            error.to_string().contains("version 1 is not supported"),
            "{error}"
        );
    }

    #[test]
    fn a_file_that_ends_in_the_header_names_the_missing_part() {
        let mut bytes = header(3, 1, 1);
        bytes.truncate(12);
        let error = open(bytes).expect_err("truncated");
        assert!(
            error
                .to_string()
                .contains("the number of tensors at byte 8 needs 8 bytes, and 4 remain"),
            "{error}"
        );
    }

    #[test]
    fn counts_larger_than_the_file_are_refused_before_anything_is_allocated() {
        let error = open(header(3, 0, u64::MAX)).expect_err("absurd count");
        assert!(error.to_string().contains("metadata entries"), "{error}");
        let error = open(header(3, u64::MAX, 0)).expect_err("absurd count");
        assert!(error.to_string().contains("tensors"), "{error}");
    }

    #[test]
    fn no_byte_sequence_makes_the_reader_panic() {
        let mut state = 0x9e37_79b9_u32;
        for length in 0..400 {
            let mut bytes = header(3, 2, 2);
            for _ in 0..length {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                bytes.push(u8::try_from(state & 0xff).expect("one byte"));
            }
            assert!(open(bytes).is_err(), "random bytes are no model");
        }
    }
}
