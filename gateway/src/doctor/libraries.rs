//! Shared libraries: which a file needs, and where the loader would find them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use elf::ElfStream;
use elf::abi::DT_NEEDED;
use elf::endian::AnyEndian;
use elf::parse::ParseError;

/// Where libraries are besides what the loader's configuration says.
const USUAL: [&str; 6] = [
    "lib",
    "lib64",
    "usr/lib",
    "usr/lib64",
    "usr/lib/x86_64-linux-gnu",
    "usr/local/cuda/lib64",
];

/// The names of the libraries that a file needs.
pub(super) fn needed_by(file: &Path) -> Result<Vec<String>, ParseError> {
    let mut elf = ElfStream::<AnyEndian, _>::open_stream(File::open(file)?)?;
    let offsets: Vec<_> = match elf.dynamic()? {
        Some(table) => table
            .iter()
            .filter(|entry| entry.d_tag == DT_NEEDED)
            .map(|entry| entry.d_val())
            .collect(),
        None => Vec::new(),
    };
    let Some((_, names)) = elf.dynamic_symbol_table()? else {
        return Ok(Vec::new());
    };
    offsets
        .into_iter()
        .filter_map(|offset| usize::try_from(offset).ok())
        .map(|offset| names.get(offset).map(str::to_owned))
        .collect()
}

/// Whether a library comes with CUDA, cuDNN or the driver, rather than with the system.
pub(super) fn is_of_cuda(name: &str) -> bool {
    ["libcu", "libnv"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// Where the loader looks.
pub(super) struct Search {
    folders: Vec<PathBuf>,
}

impl Search {
    /// For a library that is loaded from there.
    pub(super) fn of(root: &Path, library: &Path) -> Self {
        let variable = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
        let mut folders: Vec<_> = std::env::split_paths(&variable).collect();
        folders.extend(library.parent().map(Path::to_owned));
        folders.extend(configured(root));
        folders.extend(USUAL.map(|folder| root.join(folder)));
        Self { folders }
    }

    pub(super) fn finds(&self, name: &str) -> bool {
        self.folders.iter().any(|folder| folder.join(name).exists())
    }
}

/// What `/etc/ld.so.conf` and the files beside it name.
fn configured(root: &Path) -> Vec<PathBuf> {
    let beside = fs::read_dir(root.join("etc/ld.so.conf.d"))
        .into_iter()
        .flatten()
        .flatten();
    let files = beside
        .map(|entry| entry.path())
        .chain([root.join("etc/ld.so.conf")]);
    files
        .filter_map(|file| fs::read_to_string(file).ok())
        .flat_map(|text| {
            let lines = text.lines().map(str::trim);
            let folders = lines.filter(|line| line.starts_with('/'));
            folders
                .map(|line| root.join(line.trim_start_matches('/')))
                .collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_needs_the_c_library() {
        let own = std::env::current_exe().expect("a path");
        let needed = needed_by(&own).expect("an executable");
        assert!(
            needed.iter().any(|name| name.starts_with("libc.so")),
            "{needed:?}"
        );
        assert!(needed.iter().all(|name| !is_of_cuda(name)), "{needed:?}");
    }

    #[test]
    fn folders_of_the_loaders_configuration_are_searched() {
        let root = tempfile::tempdir().expect("a folder");
        let (conf, opt) = (
            root.path().join("etc/ld.so.conf.d"),
            root.path().join("opt/cuda"),
        );
        for folder in [&conf, &opt] {
            fs::create_dir_all(folder).expect("a folder");
        }
        fs::write(conf.join("cuda.conf"), "# CUDA\n/opt/cuda\n").expect("written");
        fs::write(opt.join("libcudart.so.12"), "").expect("written");
        let search = Search::of(root.path(), Path::new("/nowhere/lib.so"));
        assert!(search.finds("libcudart.so.12"));
        assert!(!search.finds("libcudnn.so.9"));
    }
}
