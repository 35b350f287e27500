//! What goes when there is too much: whatever nobody has used for longest, and never what is in use.

use std::collections::HashSet;
use std::fs::{self, File, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::CacheError;
use super::layout::Layout;
use super::record::Contents;
use crate::models::fetch::{RESERVE, free_space};

/// A blob without a snapshot may be part of one that is on its way, for so long.
const ORPHAN_AGE: Duration = Duration::from_hours(24);

/// What a cache holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes in all.
    pub bytes: u64,
    /// Of those, the ones of models that are in use.
    pub in_use: u64,
    /// Models, fetched or imported.
    pub models: usize,
}

/// Something that goes as a whole.
#[derive(Debug)]
struct Item {
    folder: PathBuf,
    lock: PathBuf,
    used: SystemTime,
    bytes: u64,
}

pub(super) fn usage(layout: &Layout) -> Usage {
    let items = items(layout);
    let held = items.iter().filter(|item| !is_free(&item.lock));
    Usage {
        in_use: held.map(|item| item.bytes).sum(),
        bytes: total(layout),
        models: items.len(),
    }
}

/// Delete until so many more bytes fit the budget and the disk. `kept_blobs` are needed by whoever wants the room.
pub(super) fn make_room(
    layout: &Layout,
    needed: u64,
    budget: Option<u64>,
    kept_blobs: &HashSet<String>,
) -> Result<(), CacheError> {
    let fits = |used: u64| {
        let in_budget = budget.is_none_or(|budget| used.saturating_add(needed) <= budget);
        let free = free_space(&layout.blobs).unwrap_or(u64::MAX);
        in_budget && free.saturating_sub(RESERVE) >= needed
    };
    if fits(total(layout)) {
        return Ok(());
    }
    remove_orphans(layout, SystemTime::now(), kept_blobs);
    let mut items = items(layout);
    items.sort_by_key(|item| item.used);
    let mut items = items.into_iter();
    while !fits(total(layout)) {
        let Some(item) = items.next() else { break };
        let mut files = HashSet::new();
        bytes_below(&item.folder, &mut files);
        if remove(&item) {
            for blob in entries(&layout.blobs) {
                if files.contains(&blob.id) && !kept_blobs.contains(blob.name()) {
                    remove_blob(&blob.path);
                }
            }
            tracing::info!(
                folder = %item.folder.display(),
                bytes = item.bytes,
                "deleted files of a model that was not used, for others"
            );
        }
    }
    let usage = usage(layout);
    match budget {
        Some(budget) if usage.bytes.saturating_add(needed) > budget => Err(CacheError::Budget {
            needed,
            budget,
            in_use: usage.bytes,
        }),
        // A full disk is told by what writes to it.
        Some(_) | None => Ok(()),
    }
}

/// Delete the snapshot and the blobs that something made of them replaces.
pub(super) fn forget(layout: &Layout, contents: &Contents) {
    let folder = layout.snapshot(&contents.sha256);
    let item = Item {
        lock: layout.snapshot_lock(&contents.sha256),
        used: SystemTime::now(),
        bytes: contents.size(),
        folder,
    };
    if remove(&item) {
        for file in &contents.files {
            remove_blob(&layout.blob(&file.sha256));
        }
    }
}

/// Remove something, unless it is in use.
fn remove(item: &Item) -> bool {
    let Some(_turn) = free(&item.lock) else {
        return false;
    };
    // Under another name first, so that nobody sees half of it.
    let name = item.folder.file_name().unwrap_or_default();
    let hidden = item
        .folder
        .with_file_name(format!(".removing-{}", name.to_string_lossy()));
    let removed = fs::rename(&item.folder, &hidden).and_then(|()| fs::remove_dir_all(&hidden));
    let _ = fs::remove_file(&item.lock);
    removed.is_ok()
}

/// What an interruption has left, and nobody came back for.
fn remove_orphans(layout: &Layout, now: SystemTime, kept_blobs: &HashSet<String>) {
    let is_old = |entry: &Entry| now > entry.modified + ORPHAN_AGE;
    for blob in entries(&layout.blobs) {
        if is_old(&blob) && !kept_blobs.contains(blob.name()) {
            remove_blob(&blob.path);
        }
    }
    for building in all_entries(&layout.snapshots) {
        let is_unfinished = [".building-", ".removing-"]
            .iter()
            .any(|prefix| building.name().starts_with(prefix));
        if is_unfinished && is_old(&building) {
            let _ = fs::remove_dir_all(&building.path);
        }
    }
    for partial in entries(&layout.partials) {
        let is_partial = partial.path.extension().is_some_and(|kind| kind == "part");
        if is_old(&partial) && is_partial && free(&partial.path.with_extension("lock")).is_some() {
            let _ = fs::remove_file(&partial.path);
            let _ = fs::remove_file(partial.path.with_extension("etag"));
        }
    }
}

/// A blob that no snapshot has a second name for.
fn remove_blob(path: &Path) {
    if fs::metadata(path).is_ok_and(|blob| blob.nlink() == 1) {
        let _ = fs::remove_file(path);
    }
}

/// The right to delete what a lock stands for; none while somebody uses it.
fn free(lock: &Path) -> Option<File> {
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(lock)
        .ok()?;
    file.try_lock().ok()?;
    Some(file)
}

/// The same, without leaving a lock behind.
fn is_free(lock: &Path) -> bool {
    File::open(lock).is_ok_and(|file| file.try_lock().is_ok()) || !lock.exists()
}

fn items(layout: &Layout) -> Vec<Item> {
    let of = |folder: &Path| {
        entries(folder)
            .into_iter()
            .filter(|entry| entry.is_folder)
            .map(|entry| {
                let name = entry.path.file_name().unwrap_or_default();
                let lock = folder.join(format!(".{}.lock", name.to_string_lossy()));
                Item {
                    used: fs::metadata(&lock)
                        .and_then(|lock| lock.modified())
                        .unwrap_or(entry.modified),
                    bytes: bytes_below(&entry.path, &mut HashSet::new()),
                    lock,
                    folder: entry.path,
                }
            })
            .collect::<Vec<_>>()
    };
    let mut items = of(&layout.snapshots);
    items.extend(of(&layout.imports));
    items
}

/// Bytes of everything, each file counted once however many names it has.
fn total(layout: &Layout) -> u64 {
    let mut seen = HashSet::new();
    [
        &layout.partials,
        &layout.blobs,
        &layout.snapshots,
        &layout.imports,
    ]
    .iter()
    .map(|folder| bytes_below(folder, &mut seen))
    .sum()
}

fn bytes_below(folder: &Path, seen: &mut HashSet<(u64, u64)>) -> u64 {
    let read = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut bytes = 0;
    for entry in read {
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        if metadata.is_dir() {
            bytes += bytes_below(&entry.path(), seen);
        } else if metadata.is_file() && seen.insert((metadata.dev(), metadata.ino())) {
            bytes += metadata.len();
        }
    }
    bytes
}

struct Entry {
    path: PathBuf,
    modified: SystemTime,
    is_folder: bool,
    /// Device and number, the same under every name.
    id: (u64, u64),
}

impl Entry {
    fn name(&self) -> &str {
        let name = self.path.file_name().and_then(|name| name.to_str());
        name.unwrap_or_default()
    }
}

/// What a folder has, without what is hidden.
fn entries(folder: &Path) -> Vec<Entry> {
    let mut entries = all_entries(folder);
    entries.retain(|entry| !entry.name().starts_with('.'));
    entries
}

fn all_entries(folder: &Path) -> Vec<Entry> {
    let read = fs::read_dir(folder).into_iter().flatten().flatten();
    read.filter_map(|entry| {
        let metadata: Metadata = entry.metadata().ok()?;
        Some(Entry {
            path: entry.path(),
            modified: metadata.modified().ok()?,
            is_folder: metadata.is_dir(),
            id: (metadata.dev(), metadata.ino()),
        })
    })
    .collect()
}
