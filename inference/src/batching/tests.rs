use std::{
    sync::{Condvar, Mutex, PoisonError},
    time::Duration,
};

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

/// Gives each sequence its first token and its length; token 13 fails, 66 panics. Waits for permission before each run.
struct Scripted {
    permits: Arc<(Mutex<usize>, Condvar)>,
    runs: Arc<Mutex<Vec<Vec<u32>>>>,
}

impl RunSequences for Scripted {
    fn run(&mut self, batch: &[&Sequence]) -> Result<Vec<Vec<f32>>, EncoderError> {
        let (permits, changed) = &*self.permits;
        let guard = permits.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut guard, result) = changed
            .wait_timeout_while(guard, PATIENCE, |permits| *permits == 0)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!result.timed_out(), "no permission came");
        *guard -= 1;
        drop(guard);
        let firsts: Vec<u32> = batch.iter().map(|sequence| sequence.tokens[0]).collect();
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.push(firsts.clone());
        drop(runs);
        assert!(!firsts.contains(&66), "asked to");
        if firsts.contains(&13) {
            return Err(EncoderError::NotFinite);
        }
        let result = |sequence: &&Sequence| {
            let length = u16::try_from(sequence.tokens.len()).expect("short");
            let first = u16::try_from(sequence.tokens[0]).expect("small");
            vec![f32::from(first), f32::from(length)]
        };
        Ok(batch.iter().map(result).collect())
    }
}

struct Fixture {
    batcher: Batcher,
    permits: Arc<(Mutex<usize>, Condvar)>,
    runs: Arc<Mutex<Vec<Vec<u32>>>>,
}

type Outcome = mpsc::Receiver<Result<Vec<Vec<f32>>, BatchError>>;

impl Fixture {
    fn new(capacity: usize) -> Self {
        let permits = Arc::new((Mutex::new(0), Condvar::new()));
        let runs = Arc::new(Mutex::new(Vec::new()));
        let (gate, seen) = (Arc::clone(&permits), Arc::clone(&runs));
        let load = move || {
            let model = Scripted {
                permits: gate,
                runs: seen,
            };
            Ok::<_, ()>((model, Costs::of(384, true), ()))
        };
        let (batcher, ()) = Batcher::start("test", capacity, load)
            .expect("a thread")
            .expect("loaded");
        Self {
            batcher,
            permits,
            runs,
        }
    }

    fn permit(&self, runs: usize) {
        *self.permits.0.lock().expect("not poisoned") += runs;
        self.permits.1.notify_all();
    }

    fn submit(&self, caller: &str, firsts: &[u32]) -> Result<(Outcome, Cancellation), Refused> {
        self.submit_long(caller, firsts, 4)
    }

    fn submit_long(
        &self,
        caller: &str,
        firsts: &[u32],
        length: usize,
    ) -> Result<(Outcome, Cancellation), Refused> {
        let (sender, outcome) = mpsc::channel();
        let cancellation = Cancellation::default();
        let sequence = |&first: &u32| Sequence {
            tokens: vec![first; length],
            types: vec![0; length],
        };
        self.batcher.submit(Request {
            caller: caller.into(),
            sequences: firsts.iter().map(sequence).collect(),
            cancellation: cancellation.clone(),
            done: Box::new(move |outcome| drop(sender.send(outcome))),
        })?;
        Ok((outcome, cancellation))
    }

    /// Waits until the thread is in a run of a request of its own.
    fn occupy(&self) -> Outcome {
        let (outcome, _) = self.submit("first", &[1]).expect("room");
        let deadline = std::time::Instant::now() + PATIENCE;
        while !self.batcher.queue.is_taken() {
            assert!(std::time::Instant::now() < deadline, "nothing was taken");
            std::thread::yield_now();
        }
        outcome
    }

    fn runs(&self) -> Vec<Vec<u32>> {
        self.runs.lock().expect("not poisoned").clone()
    }
}

fn results(outcome: &Outcome) -> Vec<Vec<f32>> {
    let outcome = outcome.recv_timeout(PATIENCE).expect("an outcome");
    outcome.expect("results")
}

fn failure(outcome: &Outcome) -> String {
    let outcome = outcome.recv_timeout(PATIENCE).expect("an outcome");
    outcome.expect_err("a failure").to_string()
}

#[test]
fn what_came_meanwhile_runs_together_and_results_keep_their_order() {
    let fixture = Fixture::new(8);
    let first = fixture.occupy();
    let (second, _) = fixture.submit("a", &[2, 3]).expect("room");
    let (third, _) = fixture.submit("b", &[4]).expect("room");
    fixture.permit(2);
    assert_eq!(results(&first), [[1.0, 4.0]]);
    assert_eq!(results(&second), [[2.0, 4.0], [3.0, 4.0]]);
    assert_eq!(results(&third), [[4.0, 4.0]]);
    assert_eq!(fixture.runs(), [vec![1], vec![2, 4, 3]]);
}

#[test]
fn a_large_request_does_not_keep_a_small_one_waiting() {
    let fixture = Fixture::new(8);
    let first = fixture.occupy();
    let many: Vec<u32> = (100..140).collect();
    let (large, _) = fixture.submit_long("greedy", &many, 100).expect("room");
    let (small, _) = fixture.submit("modest", &[5]).expect("room");
    // The first run, and of the next batch whatever runs there are.
    fixture.permit(3);
    results(&first);
    assert_eq!(results(&small), [[5.0, 4.0]]);
    assert!(large.try_recv().is_err(), "it needs several batches");
    fixture.permit(20);
    assert_eq!(results(&large).len(), 40);
}

#[test]
fn a_full_queue_refuses_and_recovers() {
    let fixture = Fixture::new(2);
    let first = fixture.occupy();
    let (second, _) = fixture.submit("a", &[2]).expect("room for one more");
    let refused = fixture.submit("b", &[3]).map(drop).expect_err("full");
    assert_eq!(refused, Refused::Full);
    fixture.permit(2);
    results(&first);
    results(&second);
    fixture.submit("b", &[3]).expect("room again");
    fixture.permit(1);
}

#[test]
fn a_request_whose_client_left_gives_its_place_away() {
    let fixture = Fixture::new(2);
    let first = fixture.occupy();
    let (left, cancellation) = fixture.submit("a", &[2]).expect("room");
    cancellation.cancel();
    let (next, _) = fixture.submit("a", &[3]).expect("the place is free");
    fixture.permit(2);
    results(&first);
    results(&next);
    assert!(left.recv_timeout(PATIENCE).is_err(), "it is dropped");
    assert_eq!(fixture.runs(), [[1], [3]]);
}

#[test]
fn a_failure_costs_the_requests_of_its_run() {
    let fixture = Fixture::new(8);
    for (token, told) in [
        (13, "failed to run the model"),
        (66, "an internal fault ended the request: asked to"),
    ] {
        let first = fixture.occupy();
        let (failing, _) = fixture.submit("a", &[token, 2]).expect("room");
        fixture.permit(2);
        results(&first);
        assert_eq!(failure(&failing), told);
    }
    let (healthy, _) = fixture.submit("a", &[5]).expect("room");
    fixture.permit(1);
    results(&healthy);
    assert_eq!(fixture.batcher.waiting(), 0);
}

#[test]
fn closing_tells_everybody_and_accepts_nothing() {
    let fixture = Fixture::new(8);
    let first = fixture.occupy();
    let (waiting, _) = fixture.submit("a", &[2]).expect("room");
    fixture.batcher.close();
    assert!(failure(&waiting).contains("unloaded"));
    fixture.permit(1);
    results(&first);
    let refused = fixture.submit("a", &[3]).map(drop).expect_err("closed");
    assert_eq!(refused, Refused::Closed);
}

#[test]
fn the_last_handle_leaves_accepted_requests_their_results() {
    let fixture = Fixture::new(8);
    let first = fixture.occupy();
    let (waiting, _) = fixture.submit("a", &[2]).expect("room");
    let Fixture {
        batcher, permits, ..
    } = fixture;
    drop(batcher);
    *permits.0.lock().expect("not poisoned") += 2;
    permits.1.notify_all();
    results(&first);
    results(&waiting);
}
