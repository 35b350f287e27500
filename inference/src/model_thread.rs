//! The threads of loaded models, which a process has to outlive.

use std::{
    io,
    sync::{Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

static RUNNING: Mutex<usize> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

/// Starts the thread of a model of this name.
pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let counted = Counted::new();
    let thread = thread::Builder::new().name(format!("model-{name}"));
    thread.spawn(move || {
        let _counted = counted;
        work();
    })?;
    Ok(())
}

/// Waits until the threads of all models have ended, at most so long, and returns whether they have.
///
/// A model's thread ends after its last handle is dropped and what was accepted is answered. A process that ends before,
/// by returning from `main`, may crash on its way: ONNX Runtime's libraries go while the thread still uses them.
pub fn wait_for_models(patience: Duration) -> bool {
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    let waited = ENDED.wait_timeout_while(running, patience, |running| *running > 0);
    *waited.unwrap_or_else(PoisonError::into_inner).0 == 0
}

struct Counted;

impl Counted {
    fn new() -> Self {
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        ENDED.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn threads_that_work_are_waited_for() {
        let (sender, gate) = mpsc::channel::<()>();
        let wait = move || assert!(gate.recv().is_err(), "nothing is sent");
        spawn("test", wait).expect("a thread");
        assert!(!wait_for_models(Duration::from_millis(1)));
        drop(sender);
        assert!(wait_for_models(Duration::from_mins(1)));
        spawn("panics", || panic!("as it should")).expect("a thread");
        assert!(wait_for_models(Duration::from_mins(1)));
    }
}
