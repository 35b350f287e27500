//! The inputs that fuzz targets begin with, damaged.
//!
//! A target is a test: `cargo test` runs it on its corpus and on random bytes, `cargo bolero test` for as long as one
//! likes. What that finds goes into `__fuzz__/TARGET/crashes/`, and is tried from then on.

use std::fs;
use std::path::Path;

/// Run a target on each beginning of each file of its corpus, and on each file without one of its bytes or with it
/// changed. `folder` lies in the sources.
pub(crate) fn damage(folder: &str, target: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src")
        .join(folder)
        .join("corpus");
    let files = fs::read_dir(&folder).expect("a corpus");
    let mut count = 0;
    for file in files {
        let whole = fs::read(file.expect("readable").path()).expect("readable");
        for at in 0..whole.len() {
            target(&whole[..at]);
            target(&[&whole[..at], &whole[at + 1..]].concat());
            let mut changed = whole.clone();
            changed[at] ^= 0x80 >> (at % 8);
            target(&changed);
        }
        count += 1;
    }
    assert!(count > 1, "{} has no files", folder.display());
}
