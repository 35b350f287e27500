//! The bounded queue between the threads of clients and the thread of a model: callers take turns.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use super::{BatchError, Done, Request, deliver};
use crate::{chat_request::Cancellation, encoder::Sequence};

/// Why a request was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// As many requests wait as may.
    Full,
    /// The model was closed.
    Closed,
}

/// One sequence of a request.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) request: u64,
    pub(super) index: usize,
    pub(super) sequence: Sequence,
}

/// A request whose first sequence was taken.
pub(super) struct Begun {
    pub(super) id: u64,
    pub(super) sequences: usize,
    pub(super) done: Done,
}

/// What is to be run next.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) units: Vec<Unit>,
    pub(super) begun: Vec<Begun>,
    /// Begun before, and cancelled since.
    pub(super) gone: Vec<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// No request can come any more; the accepted ones are still answered.
    Finishing,
    /// Nothing is answered any more.
    Closed,
}

struct Waiting {
    id: u64,
    next: usize,
    sequences: VecDeque<Sequence>,
    cancellation: Cancellation,
    /// Until the first sequence is taken.
    done: Option<Done>,
}

struct State {
    /// Whose turn it is, the next one in front.
    turns: VecDeque<Arc<str>>,
    callers: HashMap<Arc<str>, VecDeque<Waiting>>,
    /// All requests that are not done.
    pending: HashSet<u64>,
    last_id: u64,
    phase: Phase,
}

/// Requests that are not done.
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
            turns: VecDeque::new(),
            callers: HashMap::new(),
            pending: HashSet::new(),
            last_id: 0,
            phase: Phase::Open,
        });
        Self {
            state,
            changed: Condvar::new(),
            capacity,
        }
    }

    pub(super) fn push(&self, request: Request) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.phase != Phase::Open {
            return Err(Refused::Closed);
        }
        if state.pending.len() >= self.capacity {
            state.forget_cancelled();
        }
        if state.pending.len() >= self.capacity {
            return Err(Refused::Full);
        }
        let Request {
            caller,
            sequences,
            cancellation,
            done,
        } = request;
        state.last_id += 1;
        let id = state.last_id;
        state.pending.insert(id);
        if !state.callers.contains_key(&caller) {
            state.turns.push_back(Arc::clone(&caller));
        }
        state.callers.entry(caller).or_default().push_back(Waiting {
            id,
            next: 0,
            sequences: sequences.into(),
            cancellation,
            done: Some(done),
        });
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for something to run; none when the queue is finished or closed. The budget in tokens may be exceeded by a
    /// single sequence.
    pub(super) fn next(&self, budget: usize) -> Option<Batch> {
        let is_idle = |state: &mut State| state.turns.is_empty() && state.phase == Phase::Open;
        let mut state = self
            .changed
            .wait_while(self.lock(), is_idle)
            .unwrap_or_else(PoisonError::into_inner);
        if state.turns.is_empty() {
            return None;
        }
        Some(state.take(budget))
    }

    /// A request has its results, or failed.
    pub(super) fn ended(&self, request: u64) {
        self.lock().pending.remove(&request);
    }

    pub(super) fn waiting(&self) -> usize {
        self.lock().pending.len()
    }

    /// Whether every sequence was taken.
    #[cfg(test)]
    pub(super) fn is_taken(&self) -> bool {
        self.lock().turns.is_empty()
    }

    pub(super) fn finish(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Open {
            state.phase = Phase::Finishing;
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Closes the queue. What waits is told so.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.phase = Phase::Closed;
        state.turns.clear();
        state.pending.clear();
        let waiting: Vec<_> = state.callers.drain().collect();
        drop(state);
        self.changed.notify_one();
        for request in waiting.into_iter().flat_map(|(_, requests)| requests) {
            if let Some(done) = request.done {
                deliver(done, Err(BatchError::Closed));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// One sequence of each caller in turn, until the budget is used up.
    fn take(&mut self, budget: usize) -> Batch {
        let mut batch = Batch::default();
        let mut tokens = 0;
        while let Some(caller) = self.turns.pop_front() {
            let Some(requests) = self.callers.get_mut(&caller) else {
                continue;
            };
            drop_ended(requests, &mut self.pending, &mut batch);
            let Some(request) = requests.front_mut() else {
                self.callers.remove(&caller);
                continue;
            };
            let length = request
                .sequences
                .front()
                .map_or(0, |sequence| sequence.tokens.len());
            if !batch.units.is_empty() && tokens + length > budget {
                self.turns.push_front(caller);
                break;
            }
            tokens += length;
            if let Some(done) = request.done.take() {
                batch.begun.push(Begun {
                    id: request.id,
                    sequences: request.sequences.len(),
                    done,
                });
            }
            batch.units.extend(request.take());
            if request.sequences.is_empty() {
                requests.pop_front();
            }
            if requests.is_empty() {
                self.callers.remove(&caller);
            } else {
                self.turns.push_back(caller);
            }
        }
        batch
    }

    fn forget_cancelled(&mut self) {
        for requests in self.callers.values_mut() {
            for request in requests.iter() {
                // One that has begun is forgotten when its turn comes.
                if request.done.is_some() && request.cancellation.is_cancelled() {
                    self.pending.remove(&request.id);
                }
            }
            let pending = &self.pending;
            requests.retain(|request| request.done.is_none() || pending.contains(&request.id));
        }
    }
}

/// Drops the first requests of a caller that nobody waits for, or that failed.
fn drop_ended(requests: &mut VecDeque<Waiting>, pending: &mut HashSet<u64>, batch: &mut Batch) {
    while let Some(request) = requests.front() {
        let is_cancelled = request.cancellation.is_cancelled();
        if pending.contains(&request.id) && !is_cancelled {
            return;
        }
        pending.remove(&request.id);
        if request.done.is_none() {
            batch.gone.push(request.id);
        }
        requests.pop_front();
    }
}

impl Waiting {
    fn take(&mut self) -> Option<Unit> {
        let sequence = self.sequences.pop_front()?;
        let index = self.next;
        self.next += 1;
        Some(Unit {
            request: self.id,
            index,
            sequence,
        })
    }
}
