//! Which files a source had when it was asked last.

use serde::{Deserialize, Serialize};

use super::layout::{Layout, digest_of, write_whole};
use super::{CacheError, layout};
use crate::models::origin::is_safe_file_name;

/// The files of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// One digest for all of them: of the file itself where there is one, else of names and digests.
    pub sha256: String,
    /// In the order of their names.
    pub files: Vec<FileEntry>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its place within the model.
    pub name: String,
    /// Lower-case hexadecimal SHA-256.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
}

#[derive(Serialize, Deserialize)]
struct Record {
    identity: String,
    contents: Contents,
}

impl Record {
    fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("a record has only string keys and whole numbers")
    }
}

impl Contents {
    pub(super) fn new(mut files: Vec<FileEntry>) -> Self {
        files.sort();
        let sha256 = match files.as_slice() {
            [only] => only.sha256.clone(),
            files => digest_of(
                files
                    .iter()
                    .flat_map(|file| [file.name.as_str(), file.sha256.as_str()]),
            ),
        };
        Self { sha256, files }
    }

    /// The name of the one file that has to be imported: GGUF, with nothing beside it that a directory of a model has.
    pub fn gguf(&self) -> Option<&FileEntry> {
        let is_gguf = |file: &&FileEntry| file.name.to_ascii_lowercase().ends_with(".gguf");
        let mut found = self.files.iter().filter(is_gguf);
        match (found.next(), found.next()) {
            (Some(only), None) => Some(only),
            _ if self.files.len() == 1 => self.files.first(),
            _ => None,
        }
    }

    /// Bytes in all.
    pub fn size(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}

pub(super) fn read(layout: &Layout, identity: &str) -> Option<Contents> {
    let text = std::fs::read(path(layout, identity)).ok()?;
    let record: Record = serde_json::from_slice(&text).ok()?;
    let is_ours = record.identity == identity
        && record
            .contents
            .files
            .iter()
            .all(|file| is_safe_file_name(&file.name));
    is_ours.then_some(record.contents)
}

pub(super) fn write(
    layout: &Layout,
    identity: &str,
    contents: &Contents,
) -> Result<(), CacheError> {
    let record = Record {
        identity: identity.to_owned(),
        contents: contents.clone(),
    };
    write_whole(&path(layout, identity), &record.to_json())
}

fn path(layout: &Layout, identity: &str) -> std::path::PathBuf {
    let key = layout::digest_of([identity]);
    layout.records.join(format!("{key}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> FileEntry {
        FileEntry {
            name: name.to_owned(),
            sha256: digest_of([name]),
            size: 1,
        }
    }

    #[test]
    fn one_digest_stands_for_all_files_in_any_order() {
        let [a, b] = ["a", "b"].map(entry);
        let (one, other) = (
            Contents::new(vec![a.clone(), b.clone()]),
            Contents::new(vec![b, a.clone()]),
        );
        assert_eq!(one, other);
        assert_eq!(Contents::new(vec![a.clone()]).sha256, a.sha256);
    }

    #[test]
    fn a_single_gguf_file_is_imported_and_a_directory_is_not() {
        let gguf = |names: &[&str]| {
            let files = names.iter().map(|name| entry(name)).collect();
            Contents::new(files).gguf().map(|file| file.name.clone())
        };
        assert_eq!(gguf(&["q8.gguf", "README.md"]).as_deref(), Some("q8.gguf"));
        assert_eq!(gguf(&["model"]).as_deref(), Some("model"));
        assert_eq!(gguf(&["model.json", "model.onnx"]), None);
        assert_eq!(gguf(&["a.gguf", "b.gguf"]), None);
    }
}
