//! One thread a model: runs the sequences of many requests together, as many as pay.
//!
//! A batch is made of what waits when the one before it ends, so nobody waits for a batch to fill. Callers take turns,
//! sequence by sequence, up to a budget of tokens; the batch is then sorted by length and cut where padding would cost
//! more than another run. A run that fails, or panics, costs the requests that it was for and nothing else.

mod plan;
mod queue;

use std::{
    collections::HashMap,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
};

use thiserror::Error;

use crate::{
    chat_request::Cancellation, encoder::Sequence, fault, model_thread, session::EncoderError,
};
pub(crate) use plan::Costs;
pub(crate) use queue::Refused;
use queue::{Queue, Unit};

/// Tokens of one batch. More make no processor faster, and everybody waits for the batch to end.
const BATCH_TOKENS: usize = 1024;

/// What runs sequences; a row of numbers is the result of each.
pub(crate) trait RunSequences {
    /// Runs sequences together.
    fn run(&mut self, batch: &[&Sequence]) -> Result<Vec<Vec<f32>>, EncoderError>;
}

/// Why a request that was accepted has no result.
#[derive(Debug, Clone, Error)]
pub enum BatchError {
    /// The run failed.
    #[error("failed to run the model")]
    Run(#[source] Arc<EncoderError>),
    /// A fault in this program.
    #[error("an internal fault ended the request: {message}")]
    Panicked {
        /// What the panic says.
        message: String,
    },
    /// The model was closed.
    #[error("the model was unloaded before the request was answered")]
    Closed,
}

/// Learns a request's results, in the order of its sequences, on the model's thread; must not block.
pub(crate) type Done = Box<dyn FnOnce(Result<Vec<Vec<f32>>, BatchError>) + Send>;

/// A request as the queue takes it.
pub(crate) struct Request {
    /// Whose turn it takes.
    pub(crate) caller: Arc<str>,
    /// What is to be run; not empty, and no sequence is.
    pub(crate) sequences: Vec<Sequence>,
    /// Tells that nobody waits any more.
    pub(crate) cancellation: Cancellation,
    pub(crate) done: Done,
}

/// The sending side of a model's thread. When it is dropped, the thread finishes what was accepted, and ends.
#[derive(Debug)]
pub(crate) struct Batcher {
    queue: Arc<Queue>,
}

impl Batcher {
    /// Starts a thread, and waits until `load` has made the model on it.
    pub(crate) fn start<M, T, E>(
        name: &str,
        capacity: usize,
        load: impl FnOnce() -> Result<(M, Costs, T), E> + Send + 'static,
    ) -> io::Result<Result<(Self, T), E>>
    where
        M: RunSequences,
        T: Send + 'static,
        E: Send + 'static,
    {
        let queue = Arc::new(Queue::new(capacity));
        let (sender, loaded) = mpsc::sync_channel(1);
        let worker_queue = Arc::clone(&queue);
        model_thread::spawn(name, move || match load() {
            Ok((model, costs, facts)) => {
                if sender.send(Ok(facts)).is_ok() {
                    work(model, costs, &worker_queue);
                }
            }
            Err(error) => drop(sender.send(Err(error))),
        })?;
        let loaded = loaded
            .recv()
            .map_err(|_| io::Error::other("the model's thread ended while loading"))?;
        Ok(loaded.map(|facts| (Self { queue }, facts)))
    }

    /// Puts a request into the queue.
    pub(crate) fn submit(&self, request: Request) -> Result<(), Refused> {
        self.queue.push(request)
    }

    /// The requests that are not done.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    /// Refuses what waits, and ends the thread after the run under way.
    pub(crate) fn close(&self) {
        self.queue.close();
    }
}

impl Drop for Batcher {
    fn drop(&mut self) {
        self.queue.finish();
    }
}

/// A request of which some sequences have been taken.
struct Open {
    results: Vec<Option<Vec<f32>>>,
    left: usize,
    done: Done,
}

fn work(mut model: impl RunSequences, costs: Costs, queue: &Queue) {
    let mut open: HashMap<u64, Open> = HashMap::new();
    while let Some(batch) = queue.next(BATCH_TOKENS) {
        let mut units = Vec::with_capacity(batch.units.len());
        for begun in batch.begun {
            open.insert(
                begun.id,
                Open {
                    results: vec![None; begun.sequences],
                    left: begun.sequences,
                    done: begun.done,
                },
            );
        }
        for gone in batch.gone {
            open.remove(&gone);
        }
        units.extend(
            batch
                .units
                .into_iter()
                .filter(|unit| open.contains_key(&unit.request)),
        );
        units.sort_by_key(|unit| unit.sequence.tokens.len());
        let lengths: Vec<usize> = units
            .iter()
            .map(|unit| unit.sequence.tokens.len())
            .collect();
        for run in plan::runs(&lengths, &costs) {
            run_together(&mut model, &units[run], &mut open, queue);
        }
    }
    for (_, request) in open {
        deliver(request.done, Err(BatchError::Closed));
    }
}

fn run_together(
    model: &mut impl RunSequences,
    units: &[Unit],
    open: &mut HashMap<u64, Open>,
    queue: &Queue,
) {
    let sequences: Vec<&Sequence> = units.iter().map(|unit| &unit.sequence).collect();
    // A run begins from nothing, so one that ended in its middle leaves no trace.
    let outcome = catch_unwind(AssertUnwindSafe(|| model.run(&sequences)));
    let outcome = match outcome {
        Ok(Ok(results)) => Ok(results),
        Ok(Err(error)) => Err(BatchError::Run(Arc::new(error))),
        Err(panic) => Err(BatchError::Panicked {
            message: fault::message(&*panic),
        }),
    };
    match outcome {
        Ok(results) => {
            for (unit, result) in units.iter().zip(results) {
                let Some(request) = open.get_mut(&unit.request) else {
                    continue;
                };
                request.results[unit.index] = Some(result);
                request.left -= 1;
                if request.left == 0
                    && let Some(request) = open.remove(&unit.request)
                {
                    queue.ended(unit.request);
                    deliver(
                        request.done,
                        Ok(request.results.into_iter().flatten().collect()),
                    );
                }
            }
        }
        Err(error) => {
            for unit in units {
                if let Some(request) = open.remove(&unit.request) {
                    queue.ended(unit.request);
                    deliver(request.done, Err(error.clone()));
                }
            }
        }
    }
}

/// Tells a receiver that may itself be what panics.
fn deliver(done: Done, outcome: Result<Vec<Vec<f32>>, BatchError>) {
    // Nothing follows, so its panic makes no difference.
    let _ = catch_unwind(AssertUnwindSafe(|| done(outcome)));
}

#[cfg(test)]
mod tests;
