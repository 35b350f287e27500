//! Answers under way in this process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::meter::Subject;

/// How many there are for each that is limited.
#[derive(Debug, Default)]
pub(super) struct Streams {
    open: Mutex<HashMap<Subject, u32>>,
}

/// One that is under way, until it is dropped.
#[derive(Debug)]
pub(super) struct OpenStream {
    streams: Arc<Streams>,
    subject: Subject,
}

impl Streams {
    /// One more, unless there are as many as may be.
    pub(super) fn open(self: &Arc<Self>, subject: &Subject, most: u32) -> Option<OpenStream> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(subject.clone()).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(OpenStream {
            streams: Arc::clone(self),
            subject: subject.clone(),
        })
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut open = self
            .streams
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.subject) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.subject);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_makes_room_and_leaves_nothing() {
        let streams = Arc::new(Streams::default());
        let caller = Subject::Caller("a".into());
        let first = streams.open(&caller, 2).expect("one");
        let second = streams.open(&caller, 2).expect("two");
        assert!(streams.open(&caller, 2).is_none());
        assert!(
            streams.open(&Subject::Gateway, 1).is_some(),
            "another count"
        );
        drop(first);
        assert!(streams.open(&caller, 2).is_some());
        drop(second);
        assert!(streams.open.lock().expect("no panic").is_empty());
    }
}
