//! The files of a model under their names, in a folder of their own.

use std::fs;
use std::io;
use std::path::Path;

use super::layout::{Layout, is_file_of};
use super::record::Contents;
use super::{CacheError, Held, on_disk};

/// The folder, held; made of blobs where it is not there yet.
pub(super) fn make(layout: &Layout, contents: &Contents) -> Result<Held, CacheError> {
    let held = Held::take(&layout.snapshot_lock(&contents.sha256))?;
    if is_whole(layout, contents) {
        return Ok(held);
    }
    let target = layout.snapshot(&contents.sha256);
    let made = || {
        let building = tempfile::Builder::new()
            .prefix(".building-")
            .tempdir_in(&layout.snapshots)?;
        for file in &contents.files {
            let path = building.path().join(&file.name);
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            link(&layout.blob(&file.sha256), &path)?;
        }
        // What is there is not whole.
        let _ = fs::remove_dir_all(&target);
        match fs::rename(building.path(), &target) {
            Ok(()) => {
                // It is called otherwise now.
                let _ = building.keep();
                Ok(())
            }
            // Another process was as quick.
            Err(_) if is_whole(layout, contents) => Ok(()),
            Err(error) => Err(error),
        }
    };
    made().map_err(on_disk(&target))?;
    Ok(held)
}

/// Whether every file is there in its size.
pub(super) fn is_whole(layout: &Layout, contents: &Contents) -> bool {
    let folder = layout.snapshot(&contents.sha256);
    contents
        .files
        .iter()
        .all(|file| is_file_of(&folder.join(&file.name), file.size))
}

/// A second name; a copy on file systems that have none. Not a symbolic link: ONNX Runtime refuses weights that lead out
/// of their model's folder.
fn link(blob: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(blob, path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
        Err(_) => fs::copy(blob, path).map(drop),
    }
}
