//! What a crash in the middle of a download or an import leaves behind: hidden, useless, and as large as a model.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::{DOWNLOADS, IMPORTS};

/// Younger ones may be what another replica on the same volume is working on.
const AGE: Duration = Duration::from_hours(24);

/// Remove it. Failing to is no reason not to serve: the volume tells when it is full.
pub(super) fn remove(state_dir: &Path, now: SystemTime) {
    for folder in [DOWNLOADS, IMPORTS] {
        let entries = std::fs::read_dir(state_dir.join(folder));
        for entry in entries.into_iter().flatten().flatten() {
            let name = entry.file_name();
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            let is_old = modified.is_ok_and(|time| now > time + AGE);
            if !is_old || !is_unfinished(&name.to_string_lossy()) {
                continue;
            }
            let path = entry.path();
            let removed = if path.is_dir() {
                std::fs::remove_dir_all(&path)
            } else {
                std::fs::remove_file(&path)
            };
            match removed {
                Ok(()) => tracing::info!(path = %path.display(), "removed what a crash has left"),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "failed to remove what a crash has left");
                }
            }
        }
    }
}

/// By the names that downloads and imports have before they are whole.
fn is_unfinished(name: &str) -> bool {
    name.starts_with(".fetch-") || (name.starts_with('.') && name.contains(".importing-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_old_and_unfinished_goes() {
        let state = tempfile::tempdir().expect("a folder");
        let downloads = state.path().join(DOWNLOADS);
        let import = state.path().join(IMPORTS).join(".abc-int8-v1.importing-x1");
        let model = state.path().join(IMPORTS).join("abc-int8-v1");
        for folder in [&downloads, &import, &model] {
            std::fs::create_dir_all(folder).expect("made");
        }
        std::fs::write(downloads.join(".fetch-x2"), "half").expect("written");
        std::fs::write(import.join("weights"), "half").expect("written");
        let now = SystemTime::now();
        remove(state.path(), now);
        assert!(import.exists() && downloads.join(".fetch-x2").exists());
        remove(state.path(), now + AGE * 2);
        assert!(!import.exists() && !downloads.join(".fetch-x2").exists());
        assert!(model.exists() && downloads.exists());
    }
}
