//! The scheduler's rules, with a model whose every run is seen and permitted.

mod equality;
mod memory;

use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use super::{worker::SHORT_CHUNK, *};
use crate::{
    decoder::fake::{CONTEXT, Control, Fake, Joins, PATIENCE, Text},
    generation::tests::{EOS, Seen, describe, job, seen, vocabulary},
};

/// The bytes of one position of the fake model's cache.
const POSITION: usize = 2 * size_of::<f32>();

fn limits() -> Limits {
    Limits {
        waiting: 8,
        active: 8,
        kv_bytes: 8 * CONTEXT * POSITION,
        prefix_cache_bytes: 1 << 20,
        run_time: Duration::ZERO,
    }
}

struct Fixture {
    scheduler: Option<Scheduler>,
    control: Arc<Control>,
}

impl Fixture {
    fn new(text: Text, limits: Limits) -> Self {
        Self::with(limits, |control| Fake::new(text, control))
    }

    fn with(limits: Limits, fake: impl FnOnce(&Arc<Control>) -> Fake) -> Self {
        let control = Arc::new(Control::default());
        let fake = fake(&control);
        let load = move || Ok::<_, ()>((fake, ()));
        let started = Scheduler::start("test", limits, vocabulary(), load).expect("a thread");
        Self {
            scheduler: Some(started.expect("loaded").0),
            control,
        }
    }

    /// Whose answers are `a` and an end, and whose runs wait for permission.
    fn gated(limits: Limits) -> Self {
        let fixture = Self::new(Text::Fixed(vec![97, EOS]), limits);
        fixture.control.permit(0);
        fixture
    }

    fn scheduler(&self) -> &Scheduler {
        self.scheduler.as_ref().expect("not dropped")
    }

    fn submit(&self, job: Job) -> Result<(), Refused> {
        self.scheduler().submit(job)
    }

    /// Submits a job, and waits until it is an active one.
    fn occupy(&self, max_tokens: usize) -> Seen {
        let (running, events) = job(max_tokens);
        self.submit(running).expect("room");
        wait_until(
            || !seen(&events).is_empty(),
            || "it was not started".to_owned(),
        );
        events
    }
}

fn wait_until(condition: impl Fn() -> bool, complaint: impl Fn() -> String) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{}", complaint());
        std::thread::yield_now();
    }
}

/// Waits until the last event is there.
fn wait_for(events: &Seen, last: &str) {
    wait_until(
        || seen(events).last().map(String::as_str) == Some(last),
        || format!("{last} did not come: {:?}", seen(events)),
    );
}

fn is_over(events: &Seen) -> bool {
    let events = seen(events);
    let last = events.last().map_or("", String::as_str);
    ["Stop", "Length", "failed"]
        .iter()
        .any(|end| last.starts_with(end))
}

fn wait_for_end(events: &Seen) {
    wait_until(|| is_over(events), || format!("{:?}", seen(events)));
}

fn one_at_a_time() -> Limits {
    Limits {
        active: 1,
        ..limits()
    }
}

#[test]
fn jobs_beyond_the_active_ones_are_answered_in_order() {
    let fixture = Fixture::gated(one_at_a_time());
    let first = fixture.occupy(5);
    let (second_job, second) = job(5);
    fixture.submit(second_job).expect("room");
    fixture.control.permit(2);
    wait_for(&first, "Stop 2");
    fixture.control.permit(2);
    wait_for(&second, "Stop 2");
}

#[test]
fn active_answers_step_together() {
    let fixture = Fixture::new(Text::Fixed(vec![97; 300]), limits());
    fixture.control.permit(0);
    let first = fixture.occupy(40);
    let (second_job, second) = job(20);
    fixture.submit(second_job).expect("room");
    fixture.control.permit_all();
    wait_for(&first, "Length 40");
    wait_for(&second, "Length 20");
    let runs = fixture.control.runs();
    assert!(
        runs.iter().any(|run| run.matches(',').count() == 1),
        "{runs:?}"
    );
}

#[test]
fn a_full_queue_refuses_and_recovers() {
    let fixture = Fixture::gated(Limits {
        waiting: 1,
        ..one_at_a_time()
    });
    let running = fixture.occupy(5);
    let (waiting, waiting_events) = job(5);
    fixture.submit(waiting).expect("room for one");
    let refused = fixture.submit(job(5).0).expect_err("full");
    assert_eq!(
        refused,
        Refused::Full {
            retry_after: Duration::from_secs(1)
        }
    );
    fixture.control.permit(2);
    wait_for(&running, "Stop 2");
    fixture.control.permit(2);
    wait_for(&waiting_events, "Stop 2");
    fixture.submit(job(5).0).expect("room again");
    fixture.control.permit_all();
}

#[test]
fn a_waiting_job_whose_client_left_gives_its_place_away() {
    let fixture = Fixture::gated(Limits {
        waiting: 1,
        ..one_at_a_time()
    });
    let running = fixture.occupy(5);
    let (left, left_events) = job(5);
    let cancellation = left.cancellation.clone();
    fixture.submit(left).expect("room for one");
    cancellation.cancel();
    let (next, next_events) = job(5);
    fixture.submit(next).expect("the place is free");
    fixture.control.permit_all();
    wait_for(&running, "Stop 2");
    wait_for(&next_events, "Stop 2");
    assert!(seen(&left_events).is_empty());
}

#[test]
fn an_answer_whose_client_left_is_in_no_further_step() {
    let fixture = Fixture::new(Text::Fixed(vec![97; 300]), limits());
    fixture.control.permit(0);
    let (leaving, events) = job(200);
    let cancellation = leaving.cancellation.clone();
    fixture.submit(leaving).expect("room");
    fixture.control.permit(1);
    wait_for(&events, "text a");
    // The next run waits for its permission already, or will see the cancellation.
    cancellation.cancel();
    fixture.control.permit_all();
    let after = fixture.occupy(3);
    wait_for(&after, "Length 3");
    let steps = fixture.control.runs();
    assert!(steps.len() <= 6, "{steps:?}");
    assert_eq!(seen(&events), ["started 3", "text a"]);
}

#[test]
fn a_prompt_leaves_the_others_a_token_between_its_pieces() {
    let fixture = Fixture::new(Text::Fixed(vec![97; 900]), limits());
    fixture.control.permit(0);
    let (mut first, first_events) = job(400);
    first.may_speculate = false;
    fixture.submit(first).expect("room");
    fixture.control.permit(1);
    wait_for(&first_events, "text a");
    let (mut second, second_events) = job(1);
    second.prompt = vec![9; 3 * SHORT_CHUNK + 1];
    fixture.submit(second).expect("room");
    fixture.control.permit_all();
    wait_for_end(&second_events);
    let runs = fixture.control.runs();
    let begin = runs
        .iter()
        .position(|run| run == "prompt 0+64")
        .expect("begun");
    let pieces: Vec<_> = runs[begin..]
        .iter()
        .map(|run| run.split(' ').next())
        .collect();
    let [prompt, step] = [Some("prompt"), Some("step")];
    assert_eq!(
        pieces[..7],
        [prompt, step, prompt, step, prompt, step, prompt],
        "{runs:?}"
    );
    assert!(
        runs.contains(&"prompt 128+63".to_owned()) && runs.contains(&"prompt 191+2".to_owned()),
        "no run of a prompt is a single token: {runs:?}"
    );
    wait_for_end(&first_events);
}

#[test]
fn a_prompt_is_computed_in_the_runs_of_the_others_where_that_can_be() {
    let fixture = Fixture::with(limits(), |control| {
        Fake::new(Text::Fixed(vec![97; 900]), control).with(Joins::All)
    });
    fixture.control.permit(0);
    let mut others = Vec::new();
    for _ in 0..2 {
        let (mut other, events) = job(400);
        other.may_speculate = false;
        fixture.submit(other).expect("room");
        others.push(events);
    }
    fixture.control.permit(3);
    for events in &others {
        wait_until(|| seen(events).len() > 1, || "no text came".to_owned());
    }
    let (mut long, long_events) = job(1);
    long.prompt = vec![9; 30];
    fixture.submit(long).expect("room");
    fixture.control.permit_all();
    wait_for_end(&long_events);
    others.iter().for_each(wait_for_end);
    let runs = fixture.control.runs();
    let begin = runs
        .iter()
        .position(|run| run.starts_with("prompt 0+4 | step "))
        .expect("begun beside two");
    let pieces: Vec<_> = runs[begin..]
        .iter()
        .map(|run| run.split(" | ").collect::<Vec<_>>())
        .collect();
    let starts = (0..30).step_by(4);
    let starts = starts.map(|start| format!("prompt {start}+{}", (30 - start).min(4)));
    for (pieces, start) in pieces.iter().zip(starts) {
        assert_eq!((pieces[0], pieces.len()), (&*start, 3), "{runs:?}");
    }
    assert_eq!(pieces[8].len(), 2, "{runs:?}");
}

#[test]
fn a_prompt_alone_runs_in_long_pieces() {
    let fixture = Fixture::new(Text::Fixed(vec![97; 9]), limits());
    let (mut long, events) = job(1);
    long.prompt = vec![7; 1100];
    fixture.submit(long).expect("room");
    wait_for(&events, "Length 1");
    assert_eq!(
        fixture.control.runs(),
        ["prompt 0+512", "prompt 512+512", "prompt 1024+76"]
    );
}

#[test]
fn what_prompts_have_in_common_is_computed_once() {
    let fixture = Fixture::new(Text::Fixed(vec![97; 9]), limits());
    for end in [1, 2] {
        let (mut long, events) = job(1);
        long.prompt = vec![7; 100];
        long.prompt.extend([end; 20]);
        fixture.submit(long).expect("room");
        wait_for(&events, "Length 1");
    }
    assert_eq!(fixture.control.runs(), ["prompt 0+120", "prompt 96+24"]);
    let stats = fixture.scheduler().stats();
    assert_eq!(
        (stats.prefix_lookups, stats.prefix_hits, stats.prefix_tokens),
        (2, 1, 96)
    );
}

#[test]
fn a_seeded_answer_is_computed_whole_where_runs_differ() {
    let fixture = Fixture::with(limits(), |control| {
        Fake::new(Text::Fixed(vec![97; 9]), control).with_sums_in_any_order()
    });
    for is_seeded in [true, true, false] {
        let (mut long, events) = job(1);
        long.prompt = vec![7; 100];
        long.is_seeded = is_seeded;
        fixture.submit(long).expect("room");
        wait_for(&events, "Length 1");
    }
    assert_eq!(
        fixture.control.runs(),
        ["prompt 0+100", "prompt 0+100", "prompt 96+4"]
    );
}

#[test]
fn a_repeated_prompt_still_computes_its_end() {
    let fixture = Fixture::new(Text::Fixed(vec![97; 9]), limits());
    for _ in 0..2 {
        let (mut whole, events) = job(1);
        whole.prompt = vec![7; 64];
        fixture.submit(whole).expect("room");
        wait_for(&events, "Length 1");
    }
    assert_eq!(fixture.control.runs(), ["prompt 0+64", "prompt 32+32"]);
}

#[test]
fn repetitions_are_guessed_when_an_answer_is_alone() {
    let fixture = Fixture::new(Text::Fixed(vec![97; 300]), limits());
    let (repetitive, events) = job(100);
    fixture.submit(repetitive).expect("room");
    wait_for(&events, "Length 100");
    let runs = fixture.control.runs();
    assert!(runs.len() < 20, "{runs:?}");
    assert_eq!(seen(&events).len(), 102);
    let stats = fixture.scheduler().stats();
    assert_eq!(stats.guessed_tokens, stats.accepted_tokens);
    assert!(stats.guessed_tokens > 80);
}

#[test]
fn nothing_is_guessed_where_it_may_not() {
    let fixture = Fixture::new(Text::Fixed(vec![97; 300]), limits());
    let (mut careful, events) = job(50);
    careful.may_speculate = false;
    fixture.submit(careful).expect("room");
    wait_for(&events, "Length 50");
    assert_eq!(fixture.control.runs().len(), 50);
}

#[test]
fn a_panic_costs_one_answer_and_not_those_beside_it() {
    let fixture = Fixture::new(Text::Fixed(vec![97; 300]), limits());
    fixture.control.permit(0);
    let (mut faulty, _) = job(50);
    let failure = Arc::new(Mutex::new(None));
    let told = Arc::clone(&failure);
    let mut texts = 0;
    faulty.sink = Box::new(move |event| {
        match event {
            Event::Text(_) if texts == 3 => panic!("a fault in the sink"),
            Event::Text(_) => texts += 1,
            Event::Failed(error) => {
                *told.lock().expect("not poisoned") = Some(error.to_string());
            }
            _ => {}
        }
        ControlFlow::Continue(())
    });
    fixture.submit(faulty).expect("room");
    let (healthy, events) = job(30);
    fixture.submit(healthy).expect("room");
    fixture.control.permit_all();
    wait_for(&events, "Length 30");
    let message = failure.lock().expect("not poisoned").clone();
    assert_eq!(
        message.as_deref(),
        Some("an internal fault ended the generation: a fault in the sink")
    );
    wait_for(&fixture.occupy(2), "Length 2");
}

#[test]
fn a_failing_engine_fails_the_answers_of_its_run_and_goes_on() {
    let fixture = Fixture::new(Text::Fixed(vec![97, 97]), limits());
    for _ in 0..2 {
        let (failing, events) = job(5);
        fixture.submit(failing).expect("room");
        wait_for(&events, "failed failed to run the model");
        assert_eq!(seen(&events)[..3], ["started 3", "text a", "text a"]);
    }
}

#[test]
fn nobody_waits_for_a_thread_that_a_fault_has_ended() {
    let fixture = Fixture::with(limits(), |control| {
        Fake::new(Text::Fixed(vec![97, EOS]), control).without_memory()
    });
    let (lost, _) = job(5);
    fixture.submit(lost).expect("room");
    wait_until(
        || fixture.submit(job(5).0) == Err(Refused::Closed),
        || "it still accepts".to_owned(),
    );
}

#[test]
fn the_last_handle_leaves_accepted_jobs_their_answers() {
    let mut fixture = Fixture::gated(one_at_a_time());
    let running = fixture.occupy(5);
    let (waiting, waiting_events) = job(5);
    fixture.submit(waiting).expect("room");
    fixture.scheduler = None;
    fixture.control.permit(4);
    wait_for(&running, "Stop 2");
    wait_for(&waiting_events, "Stop 2");
    // The decoder, and with it the control, is dropped when the thread ends.
    wait_until(
        || Arc::strong_count(&fixture.control) == 1,
        || "the thread goes on".to_owned(),
    );
}

#[test]
fn closing_answers_waiting_and_active_jobs() {
    let fixture = Fixture::new(
        Text::Fixed(vec![97; 300]),
        Limits {
            active: 2,
            ..limits()
        },
    );
    fixture.control.permit(0);
    let first = fixture.occupy(50);
    // Before the prompt and the step after which it is let in.
    let (next, second) = job(50);
    fixture.submit(next).expect("room");
    fixture.control.permit(2);
    wait_until(
        || !seen(&second).is_empty(),
        || "it was not started".to_owned(),
    );
    let (waiting, waiting_events) = job(5);
    fixture.submit(waiting).expect("room");
    fixture.scheduler().close();
    let closed = "failed the model was unloaded before the answer was complete";
    wait_for(&waiting_events, closed);
    fixture.control.permit_all();
    wait_for(&first, closed);
    wait_for(&second, closed);
    assert_eq!(
        fixture.submit(job(5).0).expect_err("closed"),
        Refused::Closed
    );
}

#[test]
fn a_decoder_that_does_not_load_is_an_error() {
    let load = || Err::<(Fake, ()), _>("no model");
    let error = Scheduler::start("test", limits(), vocabulary(), load)
        .expect("a thread")
        .expect_err("not loaded");
    assert_eq!(error, "no model");
}
