//! One thread a model: takes jobs from a bounded queue, and answers as many at once as there is memory for.
//!
//! A job that fails, or panics, costs its own answer and nothing else. When the last handle is gone, the thread
//! finishes what was accepted, and ends; [`Scheduler::close`] ends it at once.

mod batch;
mod batches;
mod queue;
mod run_length;
mod stats;
#[cfg(test)]
mod tests;
mod worker;

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
    time::Duration,
};

use crate::{
    decoder::Decoder,
    event::{Event, GenerationError},
    generation::{Job, Vocabulary},
    model_thread,
};
use queue::Queue;
pub(crate) use queue::Refused;
pub use stats::ModelStats;
use stats::Stats;
use worker::Worker;

/// What a model may use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Jobs that may wait.
    pub(crate) waiting: usize,
    /// Jobs that are answered at once.
    pub(crate) active: usize,
    /// Bytes of attention cache for those that are answered; enough for one of the whole context.
    pub(crate) kv_bytes: usize,
    /// Bytes of attention cache of prompts that are kept.
    pub(crate) prefix_cache_bytes: usize,
    /// What a run takes in which a prompt is computed beside answers: the time between two of their tokens.
    pub(crate) run_time: Duration,
}

/// The sending side of a model's thread.
#[derive(Debug)]
pub(crate) struct Scheduler {
    queue: Arc<Queue>,
    stats: Arc<Stats>,
}

impl Scheduler {
    /// Starts a thread, and waits until `load` has made the decoder on it.
    ///
    /// `load` also returns what the caller wants to know of the decoder.
    pub(crate) fn start<D, T, E>(
        name: &str,
        limits: Limits,
        vocabulary: Vocabulary,
        load: impl FnOnce() -> Result<(D, T), E> + Send + 'static,
    ) -> io::Result<Result<(Self, T), E>>
    where
        D: Decoder,
        T: Send + 'static,
        E: Send + 'static,
    {
        let queue = Arc::new(Queue::new(limits.waiting));
        let stats = Arc::new(Stats::default());
        let (sender, loaded) = mpsc::sync_channel(1);
        let (its_queue, its_stats) = (Arc::clone(&queue), Arc::clone(&stats));
        model_thread::spawn(name, move || match load() {
            Ok((decoder, facts)) => {
                if sender.send(Ok(facts)).is_ok() {
                    let worker = Worker::new(decoder, &vocabulary, &its_queue, &its_stats, limits);
                    // Nobody is left waiting for a thread that is no more, even if the fault is ours.
                    let _ = catch_unwind(AssertUnwindSafe(|| worker.run()));
                    close(&its_queue);
                }
            }
            Err(error) => drop(sender.send(Err(error))),
        })?;
        let loaded = loaded
            .recv()
            .map_err(|_| io::Error::other("the model's thread ended while loading"))?;
        Ok(loaded.map(|facts| (Self { queue, stats }, facts)))
    }

    /// Puts a job into the queue.
    pub(crate) fn submit(&self, job: Job) -> Result<(), Refused> {
        self.queue.push(job)
    }

    /// The number of jobs that wait for their turn.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    /// What the thread did so far, and does now.
    pub(crate) fn stats(&self) -> ModelStats {
        self.stats.read(self.waiting())
    }

    /// Answers every job with [`GenerationError::Closed`], the running ones too, and ends the thread.
    pub(crate) fn close(&self) {
        close(&self.queue);
    }
}

fn close(queue: &Queue) {
    for mut job in queue.close() {
        // Nothing follows, so neither the sink's answer nor its panic makes a difference.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            (job.sink)(Event::Failed(GenerationError::Closed))
        }));
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.queue.finish();
    }
}
