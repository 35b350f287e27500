//! Batching, kept prompts, guesses and restarts change nothing: the same tokens as one answer after another.

use proptest::prelude::*;

use super::*;
use crate::sampler::{Sampler, Sampling};

/// What a job is made of.
#[derive(Debug, Clone)]
struct Request {
    /// Repeated many times: prompts of several requests begin alike.
    beginning: u32,
    beginning_tokens: usize,
    end: Vec<u32>,
    max_tokens: usize,
    temperature: f32,
    seed: u64,
    leaves_after: Option<usize>,
}

prop_compose! {
    fn request()(
        beginning in 0_u32..3,
        beginning_tokens in prop_oneof![0_usize..40, 0_usize..700],
        end in proptest::collection::vec(0_u32..30, 1..6),
        max_tokens in prop_oneof![1_usize..40, 1_usize..900],
        temperature in prop_oneof![Just(0.0_f32), Just(0.8_f32)],
        seed in 0_u64..5,
        leaves_after in proptest::option::weighted(0.2, 0_usize..30),
    ) -> Request {
        Request { beginning, beginning_tokens, end, max_tokens, temperature, seed, leaves_after }
    }
}

fn job_of(request: &Request) -> (Job, Seen) {
    let (mut job, events) = job(request.max_tokens);
    job.prompt = vec![request.beginning; request.beginning_tokens];
    job.prompt.extend(&request.end);
    let sampling = Sampling {
        temperature: request.temperature,
        seed: request.seed,
        ..Sampling::default()
    };
    job.sampler = Sampler::new(sampling, &job.prompt, None);
    if let Some(last) = request.leaves_after {
        let written = Arc::clone(&events);
        job.sink = Box::new(move |event| {
            let mut events = written.lock().expect("not poisoned");
            if events.len() > last {
                // As a marker of the end, which a client that left does not get.
                events.push("Stop: left".to_owned());
                return ControlFlow::Break(());
            }
            events.push(describe(&event));
            ControlFlow::Continue(())
        });
    }
    (job, events)
}

/// The events of all requests, which are sent at once.
fn answers(
    requests: &[Request],
    limits: Limits,
    may_speculate: bool,
    joins: Joins,
) -> Vec<Vec<String>> {
    let fixture = Fixture::with(limits, |control| {
        Fake::new(Text::Chance, control).with(joins)
    });
    fixture.control.permit(0);
    let submit = |request| {
        let (mut job, events) = job_of(request);
        job.may_speculate = may_speculate;
        job.is_seeded = request.seed % 2 == 0;
        fixture.submit(job).expect("room");
        events
    };
    let all: Vec<_> = requests.iter().map(submit).collect();
    fixture.control.permit_all();
    all.iter().for_each(wait_for_end);
    let held = fixture.control.most_held() * POSITION;
    assert!(held <= limits.kv_bytes, "{held} of {}", limits.kv_bytes);
    all.iter().map(seen).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn answers_are_those_of_one_after_another(
        requests in proptest::collection::vec(request(), 1..12),
        active in 1_usize..8,
        rows in 1_usize..6,
        prefix_cache_bytes in prop_oneof![Just(0_usize), Just(4000), Just(1 << 20)],
        // Too short for any run, and long enough for all.
        run_micros in prop_oneof![Just(0_u64), Just(100_000)],
        joins in prop_oneof![Just(Joins::None), Just(Joins::All), Just(Joins::Failing)],
    ) {
        let plain = Limits {
            waiting: 64,
            active: 1,
            kv_bytes: CONTEXT * POSITION,
            prefix_cache_bytes: 0,
            run_time: Duration::ZERO,
        };
        let all = Limits {
            waiting: 64,
            active,
            kv_bytes: rows * CONTEXT * POSITION,
            prefix_cache_bytes,
            run_time: Duration::from_micros(run_micros),
        };
        let expected = answers(&requests, plain, false, Joins::None);
        prop_assert_eq!(answers(&requests, all, true, joins), expected);
    }
}
