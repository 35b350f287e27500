//! One thread a model: takes jobs from a bounded queue, in order, one at a time.
//!
//! A job that fails, or panics, costs its own answer and nothing else. When the last handle is gone, the thread
//! finishes what was accepted, and ends; [`Scheduler::close`] ends it at once.

mod queue;

use std::{
    any::Any,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
    thread,
};

use crate::{
    event::{Event, GenerationError},
    generation::{self, Decoder, Job, Vocabulary},
};
use queue::Queue;
pub(crate) use queue::Refused;

/// The sending side of a model's thread.
#[derive(Debug)]
pub(crate) struct Scheduler {
    queue: Arc<Queue>,
}

impl Scheduler {
    /// Starts a thread, and waits until `load` has made the decoder on it.
    ///
    /// `load` also returns what the caller wants to know of the decoder.
    pub(crate) fn start<D, T, E>(
        name: &str,
        capacity: usize,
        vocabulary: Vocabulary,
        load: impl FnOnce() -> Result<(D, T), E> + Send + 'static,
    ) -> io::Result<Result<(Self, T), E>>
    where
        D: Decoder,
        T: Send + 'static,
        E: Send + 'static,
    {
        let queue = Arc::new(Queue::new(capacity));
        let (sender, loaded) = mpsc::sync_channel(1);
        let worker_queue = Arc::clone(&queue);
        thread::Builder::new()
            .name(format!("model-{name}"))
            .spawn(move || match load() {
                Ok((decoder, facts)) => {
                    if sender.send(Ok(facts)).is_ok() {
                        work(decoder, &vocabulary, &worker_queue);
                    }
                }
                Err(error) => drop(sender.send(Err(error))),
            })?;
        let loaded = loaded
            .recv()
            .map_err(|_| io::Error::other("the model's thread ended while loading"))?;
        Ok(loaded.map(|facts| (Self { queue }, facts)))
    }

    /// Puts a job into the queue.
    pub(crate) fn submit(&self, job: Job) -> Result<(), Refused> {
        self.queue.push(job)
    }

    /// The number of jobs that wait for their turn.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    /// Answers every job with [`GenerationError::Closed`], the running one too, and ends the thread.
    pub(crate) fn close(&self) {
        for mut job in self.queue.close() {
            deliver(&mut job, Event::Failed(GenerationError::Closed));
        }
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.queue.finish();
    }
}

fn work(mut decoder: impl Decoder, vocabulary: &Vocabulary, queue: &Queue) {
    while let Some(mut job) = queue.next() {
        // The decoder begins every job from nothing, so a job that ended in its middle leaves no trace.
        let attempt = catch_unwind(AssertUnwindSafe(|| {
            generation::run(&mut decoder, vocabulary, &mut job, &|| queue.is_closed());
        }));
        if let Err(panic) = attempt {
            deliver(
                &mut job,
                Event::Failed(GenerationError::Panicked {
                    message: panic_message(&*panic),
                }),
            );
        }
    }
}

/// Gives an event to a sink that may itself be what panics.
fn deliver(job: &mut Job, event: Event) {
    // Nothing follows, so neither the sink's answer nor its panic makes a difference.
    let _ = catch_unwind(AssertUnwindSafe(|| (job.sink)(event)));
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
    use std::{
        ops::ControlFlow,
        sync::{Condvar, Mutex},
        time::Duration,
    };

    use super::*;
    use crate::{
        generation::tests::{EOS, Script, Seen, job, seen, vocabulary},
        session::SessionError,
    };

    const PATIENCE: Duration = Duration::from_secs(10);

    /// A decoder that waits for permission before each run.
    struct Gated {
        script: Script,
        permits: Arc<(Mutex<usize>, Condvar)>,
    }

    impl Gated {
        fn wait(&self) {
            let (permits, changed) = &*self.permits;
            let guard = permits.lock().expect("not poisoned");
            let (mut guard, result) = changed
                .wait_timeout_while(guard, PATIENCE, |permits| *permits == 0)
                .expect("not poisoned");
            assert!(!result.timed_out(), "no permission came");
            *guard -= 1;
        }
    }

    impl Decoder for Gated {
        fn start(&mut self, positions: usize) -> Result<(), SessionError> {
            self.script.start(positions)
        }

        fn forward(&mut self, tokens: &[u32]) -> Result<&[f32], SessionError> {
            self.wait();
            self.script.forward(tokens)
        }
    }

    struct Fixture {
        scheduler: Option<Scheduler>,
        permits: Arc<(Mutex<usize>, Condvar)>,
    }

    impl Fixture {
        fn new(capacity: usize) -> Self {
            let permits = Arc::new((Mutex::new(0), Condvar::new()));
            let gate = Arc::clone(&permits);
            let load = move || {
                Ok::<_, ()>((
                    Gated {
                        script: Script::new(&[97, EOS]),
                        permits: gate,
                    },
                    (),
                ))
            };
            let started = Scheduler::start("test", capacity, vocabulary(), load).expect("a thread");
            Self {
                scheduler: Some(started.expect("loaded").0),
                permits,
            }
        }

        fn permit(&self, runs: usize) {
            *self.permits.0.lock().expect("not poisoned") += runs;
            self.permits.1.notify_all();
        }

        fn submit(&self, job: Job) -> Result<(), Refused> {
            self.scheduler.as_ref().expect("not dropped").submit(job)
        }
    }

    /// Waits until the last event is there; every event is checked against it.
    fn wait_for(events: &Seen, last: &str) {
        let deadline = std::time::Instant::now() + PATIENCE;
        while seen(events).last().map(String::as_str) != Some(last) {
            assert!(
                std::time::Instant::now() < deadline,
                "{last} did not come: {:?}",
                seen(events)
            );
            thread::yield_now();
        }
    }

    /// Submits a job, and waits until it is the running one.
    fn occupy(fixture: &Fixture) -> Seen {
        let (running, events) = job(5);
        fixture.submit(running).expect("room");
        wait_for(&events, "started 3");
        events
    }

    #[test]
    fn jobs_are_answered_in_order() {
        let fixture = Fixture::new(4);
        let first = occupy(&fixture);
        let (second_job, second) = job(5);
        fixture.submit(second_job).expect("room");
        fixture.permit(2);
        wait_for(&first, "Stop 2");
        fixture.permit(2);
        wait_for(&second, "Stop 2");
    }

    #[test]
    fn a_full_queue_refuses_and_recovers() {
        let fixture = Fixture::new(1);
        let running = occupy(&fixture);
        let (waiting, waiting_events) = job(5);
        fixture.submit(waiting).expect("room for one");
        assert_eq!(fixture.submit(job(5).0).expect_err("full"), Refused::Full);
        fixture.permit(2);
        wait_for(&running, "Stop 2");
        fixture.permit(2);
        wait_for(&waiting_events, "Stop 2");
        fixture.submit(job(5).0).expect("room again");
        fixture.permit(2);
    }

    #[test]
    fn a_waiting_job_whose_client_left_gives_its_place_away() {
        let fixture = Fixture::new(1);
        let running = occupy(&fixture);
        let (left, left_events) = job(5);
        let cancellation = left.cancellation.clone();
        fixture.submit(left).expect("room for one");
        cancellation.cancel();
        let (next, next_events) = job(5);
        fixture.submit(next).expect("the place is free");
        fixture.permit(4);
        wait_for(&running, "Stop 2");
        wait_for(&next_events, "Stop 2");
        assert!(seen(&left_events).is_empty());
    }

    #[test]
    fn a_panic_costs_one_answer() {
        let fixture = Fixture::new(4);
        fixture.permit(2);
        let (mut faulty, _) = job(5);
        faulty.sink = Box::new(|event| match event {
            Event::Text(_) => panic!("a fault in the sink"),
            Event::Started { .. } | Event::Finished { .. } | Event::Failed(_) => {
                ControlFlow::Continue(())
            }
        });
        let failure = Arc::new(Mutex::new(None));
        let told = Arc::clone(&failure);
        let mut sink = faulty.sink;
        faulty.sink = Box::new(move |event| {
            if let Event::Failed(error) = &event {
                *told.lock().expect("not poisoned") = Some(error.to_string());
            }
            sink(event)
        });
        fixture.submit(faulty).expect("room");
        let (healthy, events) = job(5);
        fixture.submit(healthy).expect("room");
        fixture.permit(2);
        wait_for(&events, "Stop 2");
        let message = failure.lock().expect("not poisoned").clone();
        assert_eq!(
            message.as_deref(),
            Some("an internal fault ended the generation: a fault in the sink")
        );
    }

    #[test]
    fn a_failing_engine_costs_one_answer() {
        let load = || Ok::<_, ()>((Script::new(&[]), ()));
        let (scheduler, ()) = Scheduler::start("test", 4, vocabulary(), load)
            .expect("a thread")
            .expect("loaded");
        for _ in 0..2 {
            let (failing, events) = job(5);
            scheduler.submit(failing).expect("room");
            wait_for(&events, "failed failed to run the model");
        }
    }

    #[test]
    fn the_last_handle_leaves_accepted_jobs_their_answers() {
        let mut fixture = Fixture::new(4);
        let running = occupy(&fixture);
        let (waiting, waiting_events) = job(5);
        fixture.submit(waiting).expect("room");
        fixture.scheduler = None;
        fixture.permit(4);
        wait_for(&running, "Stop 2");
        wait_for(&waiting_events, "Stop 2");
        // The decoder, and with it the gate, is dropped when the thread ends.
        let deadline = std::time::Instant::now() + PATIENCE;
        while Arc::strong_count(&fixture.permits) > 1 {
            assert!(std::time::Instant::now() < deadline, "the thread goes on");
            thread::yield_now();
        }
    }

    #[test]
    fn closing_answers_waiting_and_running_jobs() {
        let fixture = Fixture::new(4);
        let running = occupy(&fixture);
        let (waiting, waiting_events) = job(5);
        fixture.submit(waiting).expect("room");
        fixture.scheduler.as_ref().expect("there").close();
        let closed = "failed the model was unloaded before the answer was complete";
        wait_for(&waiting_events, closed);
        fixture.permit(2);
        wait_for(&running, closed);
        assert_eq!(
            fixture.submit(job(5).0).expect_err("closed"),
            Refused::Closed
        );
    }

    #[test]
    fn a_decoder_that_does_not_load_is_an_error() {
        let load = || Err::<(Script, ()), _>("no model");
        let error = Scheduler::start("test", 1, vocabulary(), load)
            .expect("a thread")
            .expect_err("not loaded");
        assert_eq!(error, "no model");
    }
}
