//! Where lines go: collected, and written many at once.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a line may wait for others. Whoever kills the process at once (SIGKILL) loses as much.
const LONGEST_WAIT: Duration = Duration::from_millis(20);
/// More than this is written at once, by whoever adds to it: memory stays bounded where the reader is slow.
const ENOUGH: usize = 64 << 10;

/// Takes lines from all threads; clones share what is waiting. Call [`flush`](Self::flush) before the process ends.
#[derive(Clone)]
pub struct LogWriter(Arc<Shared>);

struct Shared {
    waiting: Mutex<Waiting>,
    has_lines: Condvar,
}

struct Waiting {
    lines: Vec<u8>,
    /// Whether the thread sleeps until a line comes. While it lets others gather, nobody wakes it.
    is_asleep: bool,
    out: Box<dyn Write + Send>,
}

impl LogWriter {
    /// Lines for standard error, with a thread that writes those which nothing follows.
    pub fn to_standard_error() -> std::io::Result<Self> {
        let writer = Self::new(Box::new(std::io::stderr()));
        let shared = Arc::clone(&writer.0);
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || shared.write_what_waits())?;
        Ok(writer)
    }

    fn new(out: Box<dyn Write + Send>) -> Self {
        let waiting = Waiting {
            lines: Vec::with_capacity(ENOUGH),
            is_asleep: false,
            out,
        };
        Self(Arc::new(Shared {
            waiting: Mutex::new(waiting),
            has_lines: Condvar::new(),
        }))
    }

    /// Take a line; an urgent one is written at once, with all before it.
    pub(super) fn write(&self, line: &[u8], is_urgent: bool) {
        let mut waiting = self.0.lock();
        waiting.lines.extend_from_slice(line);
        if is_urgent || waiting.lines.len() >= ENOUGH {
            waiting.write();
        } else if std::mem::take(&mut waiting.is_asleep) {
            self.0.has_lines.notify_one();
        }
    }

    /// Write what waits.
    pub fn flush(&self) {
        self.0.lock().write();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Half a line, at worst, where somebody panicked while adding one.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_what_waits(&self) {
        loop {
            let waiting = self
                .has_lines
                .wait_while(self.lock(), |waiting| {
                    waiting.is_asleep = waiting.lines.is_empty();
                    waiting.is_asleep
                })
                .unwrap_or_else(PoisonError::into_inner);
            // Others may join them until then.
            let (mut waiting, _) = self
                .has_lines
                .wait_timeout(waiting, LONGEST_WAIT)
                .unwrap_or_else(PoisonError::into_inner);
            waiting.write();
        }
    }
}

impl Waiting {
    fn write(&mut self) {
        // A log that cannot be written has nobody to tell.
        let _ = self.out.write_all(&self.lines);
        let _ = self.out.flush();
        self.lines.clear();
    }
}

#[cfg(test)]
pub(super) struct Written(Arc<Mutex<Vec<u8>>>);

#[cfg(test)]
impl Written {
    pub(super) fn text(&self) -> String {
        let bytes = self.0.lock().expect("not poisoned");
        String::from_utf8(bytes.clone()).expect("UTF-8")
    }
}

#[cfg(test)]
impl LogWriter {
    /// Lines for a test.
    pub(super) fn to_memory() -> (Self, Written) {
        struct Memory(Arc<Mutex<Vec<u8>>>);
        impl Write for Memory {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                written.extend(bytes);
                Ok(bytes.len())
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let written = Arc::new(Mutex::default());
        let writer = Self::new(Box::new(Memory(Arc::clone(&written))));
        (writer, Written(written))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_wait_for_an_urgent_one() {
        let (writer, written) = LogWriter::to_memory();
        writer.write(b"one\n", false);
        assert_eq!(written.text(), "");
        writer.write(b"two\n", true);
        assert_eq!(written.text(), "one\ntwo\n");
    }

    #[test]
    fn enough_lines_are_written_by_themselves() {
        let (writer, written) = LogWriter::to_memory();
        writer.write(&vec![b'x'; ENOUGH], false);
        assert_eq!(written.text().len(), ENOUGH);
    }

    #[test]
    fn what_waits_is_written_after_a_while() {
        let (writer, written) = LogWriter::to_memory();
        let shared = Arc::clone(&writer.0);
        std::thread::spawn(move || shared.write_what_waits());
        writer.write(b"one\n", false);
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        while written.text() != "one\n" {
            assert!(std::time::Instant::now() < deadline, "never written");
            std::thread::yield_now();
        }
    }
}
