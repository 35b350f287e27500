//! The bounded queue between the threads of clients and the thread of a model. Clients take turns.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::generation::Job;

/// This part of the places is kept for clients that have nothing waiting.
const RESERVED_PART: usize = 8;
/// What one turn says of the time between turns.
const SMOOTHING: f64 = 0.2;
/// As long as nothing is known of it.
const FIRST_INTERVAL: f64 = 1.0;
/// Whoever is refused is not sent away for longer.
const LONGEST_PAUSE: f64 = 120.0;

/// Why a job was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// As many jobs wait as may, for all or for this client.
    Full {
        /// The time after which half of them will have had their turn.
        retry_after: Duration,
    },
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

/// The jobs of one client, never empty.
struct Lane {
    client: String,
    jobs: VecDeque<Job>,
}

struct State {
    /// The first has the next turn.
    lanes: VecDeque<Lane>,
    waiting: usize,
    phase: Phase,
    /// When the last job was taken, if others waited then.
    last_turn: Option<Instant>,
    /// Seconds between turns while jobs wait.
    interval: f64,
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
            lanes: VecDeque::new(),
            waiting: 0,
            phase: Phase::Open,
            last_turn: None,
            interval: FIRST_INTERVAL,
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
        if !state.has_room(&job, self.capacity) {
            state.drop_cancelled();
        }
        if !state.has_room(&job, self.capacity) {
            return Err(Refused::Full {
                retry_after: state.pause(),
            });
        }
        state.push(job);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for the next job; none when the queue is finished or closed.
    pub(super) fn next(&self) -> Option<Job> {
        let is_idle = |state: &mut State| {
            state.drop_cancelled();
            state.waiting == 0 && state.phase == Phase::Open
        };
        let mut state = self
            .changed
            .wait_while(self.lock(), is_idle)
            .unwrap_or_else(PoisonError::into_inner);
        state.take(|_| true)
    }

    /// The next job, if there is one and it fits.
    pub(super) fn next_if(&self, fits: impl FnOnce(&Job) -> bool) -> Option<Job> {
        self.lock().take(fits)
    }

    /// Forgets the jobs whose clients left.
    pub(super) fn drop_cancelled(&self) {
        self.lock().drop_cancelled();
    }

    /// Whether no job waits and none can come.
    pub(super) fn is_over(&self) -> bool {
        let state = self.lock();
        state.phase != Phase::Open && state.waiting == 0
    }

    pub(super) fn waiting(&self) -> usize {
        self.lock().waiting
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
        state.waiting = 0;
        let lanes = state.lanes.drain(..);
        let jobs = lanes.flat_map(|lane| lane.jobs).collect();
        drop(state);
        self.changed.notify_one();
        jobs
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_room(&self, job: &Job, capacity: usize) -> bool {
        let waits = self.lanes.iter().any(|lane| lane.client == job.client);
        let reserved = if waits { capacity / RESERVED_PART } else { 0 };
        self.waiting < capacity - reserved
    }

    fn push(&mut self, job: Job) {
        self.waiting += 1;
        match self.lanes.iter_mut().find(|lane| lane.client == job.client) {
            Some(lane) => lane.jobs.push_back(job),
            None => self.lanes.push_back(Lane {
                client: job.client.clone(),
                jobs: VecDeque::from([job]),
            }),
        }
    }

    fn take(&mut self, fits: impl FnOnce(&Job) -> bool) -> Option<Job> {
        if !fits(self.lanes.front()?.jobs.front()?) {
            return None;
        }
        let mut lane = self.lanes.pop_front()?;
        let job = lane.jobs.pop_front();
        if !lane.jobs.is_empty() {
            self.lanes.push_back(lane);
        }
        self.waiting -= 1;
        let now = Instant::now();
        if let Some(last) = self.last_turn {
            let passed = now.duration_since(last).as_secs_f64();
            self.interval += (passed - self.interval) * SMOOTHING;
        }
        self.last_turn = (self.waiting > 0).then_some(now);
        job
    }

    /// Jobs whose clients left are dropped here, under the lock: they hold nothing but their prompt and a channel's end.
    fn drop_cancelled(&mut self) {
        for lane in &mut self.lanes {
            lane.jobs.retain(|job| !job.cancellation.is_cancelled());
        }
        self.lanes.retain(|lane| !lane.jobs.is_empty());
        self.waiting = self.lanes.iter().map(|lane| lane.jobs.len()).sum();
    }

    fn pause(&self) -> Duration {
        let turns = u32::try_from(self.waiting.div_ceil(2)).unwrap_or(u32::MAX);
        let seconds = (f64::from(turns) * self.interval).clamp(1.0, LONGEST_PAUSE);
        Duration::from_secs_f64(seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::tests::job;

    fn of(client: &str, mark: u32) -> Job {
        let (mut job, _) = job(5);
        client.clone_into(&mut job.client);
        job.prompt = vec![mark];
        job
    }

    fn marks(queue: &Queue) -> Vec<u32> {
        std::iter::from_fn(|| queue.next_if(|_| true))
            .map(|job| job.prompt[0])
            .collect()
    }

    #[test]
    fn clients_take_turns_and_each_keeps_its_order() {
        let queue = Queue::new(20);
        for (client, mark) in [("a", 1), ("a", 2), ("a", 3), ("b", 4), ("c", 5), ("b", 6)] {
            queue.push(of(client, mark)).expect("room");
        }
        assert_eq!(marks(&queue), [1, 4, 5, 2, 6, 3]);
        assert_eq!(queue.waiting(), 0);
    }

    #[test]
    fn the_last_places_are_for_those_who_have_nothing_waiting() {
        let queue = Queue::new(16);
        for mark in 0..14 {
            queue.push(of("a", mark)).expect("room");
        }
        assert!(matches!(queue.push(of("a", 14)), Err(Refused::Full { .. })));
        queue.push(of("b", 15)).expect("room for another client");
        assert!(matches!(queue.push(of("b", 16)), Err(Refused::Full { .. })));
        queue.push(of("c", 17)).expect("the last place");
        assert!(matches!(queue.push(of("d", 18)), Err(Refused::Full { .. })));
    }

    #[test]
    fn whoever_is_refused_learns_when_to_come_again() {
        let queue = Queue::new(6);
        for mark in 0..6 {
            queue.push(of(&mark.to_string(), mark)).expect("room");
        }
        let Err(Refused::Full { retry_after }) = queue.push(of("z", 9)) else {
            unreachable!("it is full")
        };
        assert_eq!(
            retry_after,
            Duration::from_secs(3),
            "half of six, one a second"
        );
    }

    #[test]
    fn a_job_that_does_not_fit_waits_at_its_place() {
        let queue = Queue::new(4);
        queue.push(of("a", 1)).expect("room");
        queue.push(of("b", 2)).expect("room");
        assert!(queue.next_if(|job| job.prompt[0] == 2).is_none());
        assert_eq!(marks(&queue), [1, 2]);
    }

    #[test]
    fn a_job_whose_client_left_has_no_turn() {
        let queue = Queue::new(4);
        let left = of("a", 1);
        let cancellation = left.cancellation.clone();
        queue.push(left).expect("room");
        queue.push(of("a", 2)).expect("room");
        cancellation.cancel();
        queue.drop_cancelled();
        assert_eq!(marks(&queue), [2]);
    }

    #[test]
    fn closing_gives_back_everything_that_waits() {
        let queue = Queue::new(4);
        queue.push(of("a", 1)).expect("room");
        queue.push(of("b", 2)).expect("room");
        assert_eq!(queue.close().len(), 2);
        assert_eq!(queue.push(of("a", 3)), Err(Refused::Closed));
        assert!(queue.next().is_none());
    }
}
