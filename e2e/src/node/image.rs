//! Container images without a registry: built by buildah in a storage of their own, kept as archives in the user's
//! cache.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::UNIX_EPOCH,
};

use super::{Error, command, file_error};
use crate::tools::{self, cache};

/// The image that holds each pod's namespaces.
pub(super) const PAUSE: &str = "localhost/claw-node/pause:1";

/// An image by name, and the archive that it can be loaded from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// What pods call it.
    pub name: String,
    /// As `docker save` would write it.
    pub archive: PathBuf,
}

/// Where buildah keeps images and layers while it builds; gone when dropped. No daemon, no system-wide storage.
#[derive(Debug)]
pub struct Storage {
    directory: tempfile::TempDir,
}

impl Storage {
    /// An empty one.
    pub fn create() -> Result<Self, Error> {
        let cache = cache::directory("images")
            .map_err(tools::Error::Cache)
            .map_err(Error::Tools)?;
        let directory = tempfile::Builder::new()
            .prefix(".storage-")
            .tempdir_in(&cache)
            .map_err(file_error(&cache))?;
        Ok(Self { directory })
    }

    /// A place for files of the build; gone with the storage.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// `buildah` in this storage.
    pub fn buildah(&self) -> Command {
        let mut buildah = Command::new("buildah");
        buildah
            // Works on any file system, and needs no mount.
            .args(["--storage-driver", "vfs", "--root"])
            .arg(self.directory.path().join("root"))
            .arg("--runroot")
            .arg(self.directory.path().join("run"));
        buildah
    }

    /// Write an image of this storage to its archive.
    pub fn save(&self, image: &Image) -> Result<(), Error> {
        // An existing archive would be added to.
        if image.archive.exists() {
            fs::remove_file(&image.archive).map_err(file_error(&image.archive))?;
        }
        let target = format!("docker-archive:{}:{}", image.archive.display(), image.name);
        let mut push = self.buildah();
        push.args(["push", "--quiet", &image.name, &target]);
        command::run(&mut push).map(drop).map_err(Error::Command)
    }
}

/// The pause image; built when the cache lacks it.
pub(super) fn pause() -> Result<PathBuf, Error> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/pause/pause.c");
    let archive = archive_of("pause", &source)?;
    if !archive.is_file() {
        let work = tempfile::tempdir().map_err(file_error(&std::env::temp_dir()))?;
        let program = work.path().join("pause");
        let mut compile = Command::new("cc");
        compile.args(["-static", "-Os", "-o"]);
        command::run(compile.arg(&program).arg(&source)).map_err(Error::Command)?;
        build_of(&program, PAUSE, &archive)?;
    }
    Ok(archive)
}

/// An image with one static program in it; built when the cache lacks it.
pub(super) fn of_program(program: &Path, name: &str) -> Result<Image, Error> {
    let archive = archive_of(&file_name(program), program)?;
    if !archive.is_file() {
        build_of(program, name, &archive)?;
    }
    let name = name.to_owned();
    Ok(Image { name, archive })
}

/// Another source file means another archive.
fn archive_of(name: &str, source: &Path) -> Result<PathBuf, Error> {
    let metadata = fs::metadata(source).map_err(file_error(source))?;
    let changed = metadata.modified().map_err(file_error(source))?;
    let changed = changed.duration_since(UNIX_EPOCH).unwrap_or_default();
    let cache = cache::directory("images")
        .map_err(tools::Error::Cache)
        .map_err(Error::Tools)?;
    let identity = format!("{:x}-{:x}", metadata.len(), changed.as_secs());
    Ok(cache.join(format!("{name}-{identity}.tar")))
}

fn build_of(program: &Path, name: &str, archive: &Path) -> Result<(), Error> {
    let storage = Storage::create()?;
    let file = file_name(program);
    let text = format!("FROM scratch\nCOPY {file} /{file}\nENTRYPOINT [\"/{file}\"]\n");
    let recipe = storage.directory.path().join("Dockerfile");
    fs::write(&recipe, text).map_err(file_error(&recipe))?;
    let mut build = storage.buildah();
    build.args(["build", "--quiet", "--tag", name, "--file"]);
    build.arg(&recipe).arg(program.parent().unwrap_or(program));
    command::run(&mut build).map_err(Error::Command)?;
    // A rename is atomic: an archive that was cut short never looks like a finished one.
    let unfinished = Image {
        name: name.to_owned(),
        archive: storage.directory.path().join("archive.tar"),
    };
    storage.save(&unfinished)?;
    fs::rename(&unfinished.archive, archive).map_err(file_error(archive))
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
