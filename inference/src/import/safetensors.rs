//! Reads directories of safetensors files: one `model.safetensors`, or shards that an index names.
//!
//! The `safetensors` crate needs a whole file in memory, or mapped, which only unsafe code can do; an import reads one
//! tensor at a time instead. Everything that a header says is checked against the file before it is believed.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use thiserror::Error;

use super::gguf::{TensorInfo, TensorType};

/// The file of a model that is not cut into several.
pub(crate) const SINGLE_FILE: &str = "model.safetensors";
/// The file that says which tensor lies in which shard.
pub(crate) const INDEX_FILE: &str = "model.safetensors.index.json";
/// What the format's own library allows.
const LARGEST_HEADER: u64 = 100_000_000;
const LENGTH_BYTES: u64 = 8;

/// Why safetensors files could not be read.
#[derive(Debug, Error)]
pub enum SafetensorsError {
    /// The operating system refused.
    #[error("failed to read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The index is not what it should be.
    #[error("{} is not a valid index of shards", path.display())]
    Index {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The index names a file elsewhere.
    #[error("{} names the shard {shard:?}, which is no file of the same directory", path.display())]
    ShardName {
        /// The index.
        path: PathBuf,
        /// The shard.
        shard: String,
    },
    /// The index and the shards do not belong together.
    #[error("the tensor {tensor} is not in the shard {}, where the index places it; download the model again", path.display())]
    NotInShard {
        /// The tensor.
        tensor: String,
        /// The shard.
        path: PathBuf,
    },
    /// A file's first bytes are no safetensors header.
    #[error("{} is no safetensors file, or is damaged: {problem}; download it again", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A file ends before a tensor does.
    #[error(
        "{} is truncated: the tensor {tensor} ends at byte {end}, and the file has {length}; download it again",
        path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Where the tensor ends.
        end: u64,
        /// The size of the file.
        length: u64,
    },
    /// A tensor's numbers contradict each other.
    #[error(
        "{}: the tensor {tensor} of shape {shape:?} takes {expected} bytes as {encoding}, and its header says {found}; download it again",
        path.display()
    )]
    WrongSize {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Its encoding.
        encoding: String,
        /// The bytes that follow from both.
        expected: u64,
        /// The bytes that it has.
        found: u64,
    },
    /// An encoding that we do not decode.
    #[error("{}: the tensor {tensor} has the type {found}, which is not supported; supported are F32, F16 and BF16", path.display())]
    UnsupportedType {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The type.
        found: String,
    },
}

/// An entry of a file's header.
#[derive(Debug, Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

/// Opened files, as if they were one.
#[derive(Debug)]
pub(crate) struct SafetensorsFiles {
    files: Vec<(PathBuf, File)>,
    tensors: Vec<TensorInfo>,
    /// The file of each tensor.
    places: HashMap<String, usize>,
}

impl SafetensorsFiles {
    /// The files of a model in `directory`, the index included.
    pub(crate) fn names(directory: &Path) -> Result<Vec<String>, SafetensorsError> {
        if directory.join(INDEX_FILE).is_file() {
            let shards = read_index(directory)?.into_values();
            let mut names: BTreeSet<String> = shards.collect();
            names.insert(INDEX_FILE.to_owned());
            return Ok(names.into_iter().collect());
        }
        Ok(vec![SINGLE_FILE.to_owned()])
    }

    /// Reads everything but the tensors' data.
    pub(crate) fn open(directory: &Path) -> Result<Self, SafetensorsError> {
        let mut opened = Self {
            files: Vec::new(),
            tensors: Vec::new(),
            places: HashMap::new(),
        };
        for name in Self::names(directory)? {
            if name != INDEX_FILE {
                opened.add(&directory.join(name))?;
            }
        }
        if directory.join(INDEX_FILE).is_file() {
            opened.compare(directory)?;
        }
        Ok(opened)
    }

    /// All tensors.
    pub(crate) fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// Reads one tensor's bytes.
    pub(crate) fn read_tensor(&mut self, tensor: &TensorInfo) -> Result<Vec<u8>, SafetensorsError> {
        let (path, file) = &mut self.files[self.places[&tensor.name]];
        let mut read = || {
            file.seek(SeekFrom::Start(tensor.file_offset))?;
            let mut bytes = Vec::new();
            file.take(tensor.byte_length).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read().map_err(|source| io_error(path, source))?;
        if bytes.len() as u64 == tensor.byte_length {
            return Ok(bytes);
        }
        Err(SafetensorsError::Truncated {
            path: path.clone(),
            tensor: tensor.name.clone(),
            end: tensor.file_offset + tensor.byte_length,
            length: tensor.file_offset + bytes.len() as u64,
        })
    }

    fn add(&mut self, path: &Path) -> Result<(), SafetensorsError> {
        let mut file = File::open(path).map_err(|source| io_error(path, source))?;
        let length = file
            .metadata()
            .map_err(|source| io_error(path, source))?
            .len();
        let (data_start, header) = read_header(path, &mut file, length)?;
        for (name, entry) in header {
            let info = describe(path, name, entry, data_start, length)?;
            if self
                .places
                .insert(info.name.clone(), self.files.len())
                .is_some()
            {
                let problem = format!("the tensor {} is in another shard, too", info.name);
                return Err(header_error(path, problem));
            }
            self.tensors.push(info);
        }
        self.files.push((path.to_owned(), file));
        Ok(())
    }

    /// Whether every tensor lies where the index says.
    fn compare(&self, directory: &Path) -> Result<(), SafetensorsError> {
        for (tensor, shard) in read_index(directory)? {
            let path = directory.join(shard);
            let found = self.places.get(&tensor).map(|&place| &self.files[place].0);
            if found != Some(&path) {
                return Err(SafetensorsError::NotInShard { tensor, path });
            }
        }
        Ok(())
    }
}

fn read_index(directory: &Path) -> Result<BTreeMap<String, String>, SafetensorsError> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let path = directory.join(INDEX_FILE);
    let text = std::fs::read_to_string(&path).map_err(|source| io_error(&path, source))?;
    let Index { weight_map } =
        serde_json::from_str(&text).map_err(|source| SafetensorsError::Index {
            path: path.clone(),
            source,
        })?;
    let is_plain = |name: &String| {
        Path::new(name)
            .file_name()
            .is_some_and(|file| file == name.as_str())
    };
    match weight_map.values().find(|name| !is_plain(name)) {
        Some(shard) => Err(SafetensorsError::ShardName {
            path,
            shard: shard.clone(),
        }),
        None => Ok(weight_map),
    }
}

fn read_header(
    path: &Path,
    file: &mut File,
    length: u64,
) -> Result<(u64, BTreeMap<String, Entry>), SafetensorsError> {
    let mut size = [0; 8];
    if length < LENGTH_BYTES {
        return Err(header_error(path, format!("it has {length} bytes only")));
    }
    file.read_exact(&mut size)
        .map_err(|source| io_error(path, source))?;
    let size = u64::from_le_bytes(size);
    if size > LARGEST_HEADER || size > length - LENGTH_BYTES {
        let problem = format!("its header is {size} bytes long, and the file {length}");
        return Err(header_error(path, problem));
    }
    let mut text = Vec::new();
    file.take(size)
        .read_to_end(&mut text)
        .map_err(|source| io_error(path, source))?;
    let invalid =
        |error: serde_json::Error| header_error(path, format!("its header is invalid: {error}"));
    let mut entries: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(&text).map_err(invalid)?;
    entries.remove("__metadata__");
    let entries = entries.into_iter().map(|(name, entry)| {
        let entry = serde_json::from_value(entry).map_err(|error| {
            header_error(path, format!("the tensor {name} is invalid: {error}"))
        })?;
        Ok((name, entry))
    });
    Ok((LENGTH_BYTES + size, entries.collect::<Result<_, _>>()?))
}

fn describe(
    path: &Path,
    name: String,
    entry: Entry,
    data_start: u64,
    length: u64,
) -> Result<TensorInfo, SafetensorsError> {
    let kind = match &*entry.dtype {
        "F32" => TensorType::F32,
        "F16" => TensorType::F16,
        "BF16" => TensorType::Bf16,
        _ => {
            return Err(SafetensorsError::UnsupportedType {
                path: path.to_owned(),
                tensor: name,
                found: entry.dtype,
            });
        }
    };
    let [begin, end] = entry.data_offsets;
    let values = entry
        .shape
        .iter()
        .try_fold(kind.block_bytes() as u64, |product, &size| {
            product.checked_mul(size as u64)
        });
    let (expected, found) = (values.unwrap_or(u64::MAX), end.saturating_sub(begin));
    if expected != found {
        return Err(SafetensorsError::WrongSize {
            path: path.to_owned(),
            tensor: name,
            shape: entry.shape,
            encoding: entry.dtype,
            expected,
            found,
        });
    }
    let file_end = data_start.saturating_add(end);
    if file_end > length {
        return Err(SafetensorsError::Truncated {
            path: path.to_owned(),
            tensor: name,
            end: file_end,
            length,
        });
    }
    Ok(TensorInfo {
        name,
        dimensions: entry.shape,
        kind,
        file_offset: data_start + begin,
        byte_length: found,
    })
}

fn io_error(path: &Path, source: io::Error) -> SafetensorsError {
    SafetensorsError::Io {
        path: path.to_owned(),
        source,
    }
}

fn header_error(path: &Path, problem: String) -> SafetensorsError {
    SafetensorsError::Header {
        path: path.to_owned(),
        problem,
    }
}
