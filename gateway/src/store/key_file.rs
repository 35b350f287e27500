//! The key of a gateway on one machine: a file in the state directory, made when it is first used.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claw_crds::gateway_config::Redacted;
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use super::seal::KEY_BYTES;

/// The file's name in the state directory.
const FILE: &str = "state.key";
/// For its owner alone.
const MODE: u32 = 0o600;

/// The key file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the key file {file} cannot be used")]
pub struct KeyFileError {
    /// Which one.
    file: String,
    /// What the system said.
    source: std::io::Error,
}

impl KeyFileError {
    /// For another reason.
    pub(crate) fn other(source: std::io::Error) -> Self {
        let file = FILE.to_owned();
        Self { file, source }
    }
}

/// The file of a state directory.
#[derive(Clone, Debug)]
pub struct KeyFile(PathBuf);

impl KeyFile {
    /// In a state directory. Nothing is read or made yet.
    pub fn in_directory(directory: &Path) -> Self {
        Self(directory.join(FILE))
    }

    /// Whether there is one.
    pub fn is_there(&self) -> bool {
        self.0.exists()
    }

    /// The key, if there is one.
    pub fn read(&self) -> Result<Option<Redacted>, KeyFileError> {
        match self.try_read() {
            Ok(key) => Ok(Some(key)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// The key, which is made if there is none.
    pub fn read_or_make(&self) -> Result<Redacted, KeyFileError> {
        if let Some(key) = self.read()? {
            return Ok(key);
        }
        match self.make() {
            // Another process may have made one in between.
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                Err(self.failed(error))
            }
            _ => self.try_read().map_err(|error| self.failed(error)),
        }
    }

    fn try_read(&self) -> std::io::Result<Redacted> {
        let text = Zeroizing::new(std::fs::read_to_string(&self.0)?);
        let mode = std::fs::metadata(&self.0)?.permissions().mode();
        // Mounting a volume in a cluster may let its group in.
        if mode & 0o077 != 0 {
            std::fs::set_permissions(&self.0, Permissions::from_mode(MODE))?;
            tracing::warn!(
                file = %self.0.display(),
                "others could read the key file; now its owner alone can"
            );
        }
        Ok(Redacted::new(text.trim()))
    }

    /// Whole or not at all, and on the disk before anything is encrypted with it.
    fn make(&self) -> std::io::Result<()> {
        let folder = self.0.parent().unwrap_or_else(|| Path::new("."));
        std::fs::create_dir_all(folder)?;
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        SystemRandom::new()
            .fill(&mut *bytes)
            .map_err(|_| std::io::Error::other("the system gives no random bytes"))?;
        // Made for its owner alone.
        let mut file = tempfile::Builder::new()
            .prefix(".state-key-")
            .permissions(Permissions::from_mode(MODE))
            .tempfile_in(folder)?;
        let text = Zeroizing::new(STANDARD.encode(*bytes));
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        file.persist_noclobber(&self.0)?;
        std::fs::File::open(folder)?.sync_all()?;
        tracing::info!(file = %self.0.display(), "a key for the state was made; keep a copy of it with backups");
        Ok(())
    }

    fn failed(&self, source: std::io::Error) -> KeyFileError {
        KeyFileError {
            file: self.0.display().to_string(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(file: &KeyFile) -> u32 {
        let metadata = std::fs::metadata(&file.0).expect("a file");
        metadata.permissions().mode() & 0o777
    }

    #[test]
    fn a_key_is_made_once_for_its_owner_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = KeyFile::in_directory(&folder.path().join("state"));
        assert!(!file.is_there());
        assert_eq!(file.read().expect("readable"), None);
        let key = file.read_or_make().expect("made");
        assert!(file.is_there());
        assert_eq!(mode(&file), MODE);
        assert_eq!(file.read_or_make().expect("read"), key);
        assert_eq!(STANDARD.decode(key.expose()).expect("base64").len(), 32);
        let names = folder.path().join("state").read_dir().expect("a folder");
        assert_eq!(names.count(), 1);
    }

    #[test]
    fn a_key_that_others_can_read_is_closed_to_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = KeyFile::in_directory(folder.path());
        file.read_or_make().expect("made");
        std::fs::set_permissions(&file.0, Permissions::from_mode(0o664)).expect("set");
        file.read().expect("read").expect("a key");
        assert_eq!(mode(&file), MODE);
    }

    #[test]
    fn a_folder_that_is_none_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let in_the_way = folder.path().join("state");
        std::fs::write(&in_the_way, "").expect("written");
        let error = KeyFile::in_directory(&in_the_way).read_or_make();
        let error = error.expect_err("no folder").to_string();
        assert!(error.contains("state.key"), "{error}");
    }
}
