//! Files by inotify, through their folders: editors and Kubernetes replace files rather than write them, and only
//! the folder knows.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

/// Watches the folders of files, as long as it lives.
pub struct FileWatch {
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
}

impl FileWatch {
    /// Watch these files; `changed` is notified. Where that is impossible, changes are not noticed, and a log line
    /// says so.
    pub fn start(files: &[PathBuf], changed: &Arc<Notify>) -> Self {
        let folders: BTreeSet<_> = files.iter().flat_map(|file| folders_of(file)).collect();
        let changed = Arc::clone(changed);
        let handler = move |event: notify::Result<Event>| {
            if event.map_or(true, |event| is_change(event.kind)) {
                changed.notify_one();
            }
        };
        let watcher = if folders.is_empty() {
            None
        } else {
            start(handler)
        };
        let mut watch = Self { watcher, folders };
        watch.renew();
        watch
    }

    /// Follow folders that were replaced by others of the same name.
    pub fn renew(&mut self) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        for folder in &self.folders {
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                tracing::warn!(folder = %folder.display(), %error, "changes of this folder are not noticed");
            }
        }
    }
}

fn start(
    handler: impl FnMut(notify::Result<Event>) + Send + 'static,
) -> Option<RecommendedWatcher> {
    notify::recommended_watcher(handler)
        .inspect_err(
            |error| tracing::error!(%error, "files cannot be watched: restart to apply changes"),
        )
        .ok()
}

/// The folder of a file; the folder of that one, in which it may be a link that is swapped; and where a file that is
/// a link really lies.
fn folders_of(file: &Path) -> Vec<PathBuf> {
    let parent = |path: &Path| match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => PathBuf::from("/"),
    };
    let folder = parent(file);
    let mut folders = Vec::from_iter(file.canonicalize().ok().map(|real| parent(&real)));
    if folder.is_symlink() {
        folders.push(parent(&folder));
    }
    folders.push(folder);
    folders
}

/// Reading is no change, and we read ourselves.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn notices(changed: &Notify) -> bool {
        tokio::time::timeout(Duration::from_secs(5), changed.notified())
            .await
            .is_ok()
    }

    #[tokio::test]
    async fn writing_and_replacing_a_file_are_noticed() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("config.json");
        std::fs::write(&file, "1").expect("written");
        let changed = Arc::new(Notify::new());
        let _watch = FileWatch::start(std::slice::from_ref(&file), &changed);
        std::fs::write(&file, "2").expect("written");
        assert!(notices(&changed).await);
        std::fs::write(folder.path().join("new"), "3").expect("written");
        std::fs::rename(folder.path().join("new"), &file).expect("replaced");
        assert!(notices(&changed).await);
    }

    #[tokio::test]
    async fn a_swapped_link_is_noticed_and_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for version in ["v1", "v2"] {
            std::fs::create_dir(at(version)).expect("a folder");
        }
        std::os::unix::fs::symlink("v1", at("current")).expect("a link");
        let changed = Arc::new(Notify::new());
        let mut watch = FileWatch::start(&[at("current/x.yaml")], &changed);
        std::os::unix::fs::symlink("v2", at("next")).expect("a link");
        std::fs::rename(at("next"), at("current")).expect("swapped");
        assert!(notices(&changed).await);
        watch.renew();
        while tokio::time::timeout(Duration::from_millis(50), changed.notified())
            .await
            .is_ok()
        {}
        std::fs::write(at("v2/x.yaml"), "new").expect("written");
        assert!(notices(&changed).await);
    }
}
