//! The file that holds a model's large weights, each at an aligned place.

use std::{
    fs::File,
    io::{self, BufWriter, Read as _, Write},
    path::Path,
};

use crate::digest::Hasher;

/// Lets the runtime map each weight into memory on its own.
const ALIGNMENT: u64 = 4096;
const CHUNK: usize = 1 << 16;

/// An append-only file of weights, hashed while it is written.
#[derive(Debug)]
pub(super) struct DataFile {
    name: String,
    file: BufWriter<File>,
    hasher: Hasher,
    length: u64,
}

impl DataFile {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .ok_or(io::ErrorKind::InvalidFilename)?;
        let file = BufWriter::with_capacity(CHUNK, File::create_new(path)?);
        Ok(Self {
            name: name.to_owned(),
            file,
            hasher: Hasher::new(),
            length: 0,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Writes one weight, and returns where it begins and how many bytes it takes.
    pub(super) fn append<const BYTES: usize>(
        &mut self,
        values: impl Iterator<Item = [u8; BYTES]>,
    ) -> io::Result<(u64, u64)> {
        let offset = self.length.next_multiple_of(ALIGNMENT);
        io::copy(&mut io::repeat(0).take(offset - self.length), self)?;
        let mut chunk = Vec::with_capacity(CHUNK + BYTES);
        for value in values {
            chunk.extend_from_slice(&value);
            if chunk.len() >= CHUNK {
                self.write_all(&chunk)?;
                chunk.clear();
            }
        }
        self.write_all(&chunk)?;
        Ok((offset, self.length - offset))
    }

    /// Makes the file durable, and returns its SHA-256 in hexadecimal.
    pub(super) fn finish(self) -> io::Result<String> {
        let file = self
            .file
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(self.hasher.finish())
    }
}

impl Write for DataFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
