//! The bounded queue between the threads of clients and the thread of a model.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use crate::generation::Job;

/// Why a job was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// As many jobs wait as may.
    Full,
    /// The model was closed.
    Closed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// No job can come any more; the waiting ones are still answered.
    Finishing,
    /// Nothing is answered any more.
    Closed,
}

struct State {
    waiting: VecDeque<Job>,
    phase: Phase,
}

/// Jobs that wait for their turn.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    capacity: usize,
}

impl fmt::Debug for Queue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Queue")
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

impl Queue {
    pub(super) fn new(capacity: usize) -> Self {
        let state = Mutex::new(State {
            waiting: VecDeque::new(),
            phase: Phase::Open,
        });
        Self {
            state,
            changed: Condvar::new(),
            capacity,
        }
    }

    pub(super) fn push(&self, job: Job) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.phase != Phase::Open {
            return Err(Refused::Closed);
        }
        if state.waiting.len() >= self.capacity {
            state.waiting.retain(|job| !job.cancellation.is_cancelled());
        }
        if state.waiting.len() >= self.capacity {
            return Err(Refused::Full);
        }
        state.waiting.push_back(job);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for the next job; none when the queue is finished or closed.
    pub(super) fn next(&self) -> Option<Job> {
        let is_idle = |state: &mut State| state.waiting.is_empty() && state.phase == Phase::Open;
        let mut state = self
            .changed
            .wait_while(self.lock(), is_idle)
            .unwrap_or_else(PoisonError::into_inner);
        state.waiting.pop_front()
    }

    pub(super) fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().phase == Phase::Closed
    }

    pub(super) fn finish(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Open {
            state.phase = Phase::Finishing;
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Closes the queue, and returns the jobs that will not have their turn.
    pub(super) fn close(&self) -> Vec<Job> {
        let mut state = self.lock();
        state.phase = Phase::Closed;
        let jobs = state.waiting.drain(..).collect();
        drop(state);
        self.changed.notify_one();
        jobs
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
