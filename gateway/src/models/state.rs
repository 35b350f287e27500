//! How far a model is, and the words for it.

use std::time::Duration;

use super::cache::Progress;
use super::{EngineInfo, LoadProgress, Loaded};

/// How far a model is.
#[derive(Clone)]
pub enum SlotState {
    /// Waiting for its turn, or for memory.
    Pending,
    /// Its files are on their way.
    Fetching(Progress),
    /// Being turned into a model directory.
    Importing(LoadProgress),
    /// Being loaded and warmed.
    Loading,
    /// Not in memory: the next request brings it there.
    Standby,
    /// Answers.
    Ready(Loaded, EngineInfo),
    /// Did not load, or died; another attempt follows.
    Failed {
        /// What failed.
        kind: FailureKind,
        /// Why, with causes.
        error: String,
        /// How many times in a row.
        attempts: u32,
        /// Pause before the next attempt.
        retry_in: Duration,
    },
}

/// What failed, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// Files did not come.
    Fetch,
    /// Files cannot be read, or there is no place to keep them.
    Files,
    /// They could not be imported.
    Import,
    /// There is not enough memory.
    Memory,
    /// It does not load, or fails its first run.
    Load,
    /// It ran, and ended.
    Engine,
}

impl FailureKind {
    /// Every one there is.
    pub const ALL: [Self; 6] = [
        Self::Fetch,
        Self::Files,
        Self::Import,
        Self::Memory,
        Self::Load,
        Self::Engine,
    ];

    /// One word.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Files => "files",
            Self::Import => "import",
            Self::Memory => "memory",
            Self::Load => "load",
            Self::Engine => "engine",
        }
    }
}

impl SlotState {
    /// Whether it answers.
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Ready(..))
    }

    /// One word for metrics and status.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Fetching(_) => "fetching",
            Self::Importing(_) => "importing",
            Self::Loading => "loading",
            Self::Standby => "standby",
            Self::Ready(..) => "ready",
            Self::Failed { .. } => "failed",
        }
    }

    /// Every [`label`](Self::label) there is.
    pub const LABELS: [&str; 7] = [
        "pending",
        "fetching",
        "importing",
        "loading",
        "standby",
        "ready",
        "failed",
    ];

    /// How far, in words.
    pub fn progress(&self) -> Option<String> {
        match self {
            Self::Fetching(progress) => Some(fetched(progress)),
            Self::Importing(LoadProgress { step, done, total }) => {
                Some(format!("{step}, {done} of {total} bytes"))
            }
            Self::Failed { attempts, .. } => Some(format!("attempt {attempts} failed")),
            Self::Pending | Self::Loading | Self::Standby | Self::Ready(..) => None,
        }
    }
}

fn fetched(progress: &Progress) -> String {
    let Progress { done, total, rate } = progress;
    let mut words = match total {
        Some(total) => format!("{done} of {total} bytes"),
        None => format!("{done} bytes"),
    };
    let rate = rate.map(|rate| format!(", {rate} bytes/s"));
    let left = progress.seconds_left();
    let left = left.map(|left| format!(", {left} s left"));
    words.extend([rate, left].into_iter().flatten());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_says_bytes_rate_and_time_as_far_as_they_are_known() {
        let words = |done, total, rate| {
            SlotState::Fetching(Progress { done, total, rate })
                .progress()
                .expect("words")
        };
        assert_eq!(words(5, None, None), "5 bytes");
        assert_eq!(words(5, Some(25), None), "5 of 25 bytes");
        assert_eq!(
            words(5, Some(25), Some(10)),
            "5 of 25 bytes, 10 bytes/s, 2 s left"
        );
    }
}
