//! Memory: never more than the budget, and given back.

use super::*;

fn with_budget(positions: usize) -> Limits {
    Limits {
        kv_bytes: positions * POSITION,
        prefix_cache_bytes: 0,
        ..limits()
    }
}

/// Some long answers at once, and what they say alone.
fn long_answers(limits: Limits, joins: Joins) -> (Fixture, Vec<Vec<String>>) {
    let fixture = Fixture::with(limits, |control| {
        Fake::new(Text::Chance, control).with(joins)
    });
    fixture.control.permit(0);
    let mut all = Vec::new();
    for number in 0..6 {
        let (mut long, events) = job(1500);
        long.prompt = vec![number, 5, 9];
        fixture.submit(long).expect("room");
        all.push(events);
    }
    fixture.control.permit_all();
    all.iter().for_each(wait_for_end);
    let answers = all.iter().map(seen).collect();
    (fixture, answers)
}

#[test]
fn the_budget_is_kept_whatever_grows() {
    for positions in [CONTEXT, 4096, 6000, 20_000] {
        for joins in [Joins::None, Joins::All] {
            let (fixture, _) = long_answers(with_budget(positions), joins);
            let most = fixture.control.most_held();
            assert!(most <= positions, "{most} of {positions}");
        }
    }
}

#[test]
fn answers_that_made_room_for_others_say_the_same() {
    let one = Limits {
        active: 1,
        ..with_budget(CONTEXT)
    };
    let (alone, expected) = long_answers(one, Joins::None);
    assert_eq!(alone.scheduler().stats().restarts, 0);
    for joins in [Joins::None, Joins::All] {
        let (crowded, answers) = long_answers(with_budget(CONTEXT), joins);
        assert_eq!(answers, expected);
        assert!(crowded.scheduler().stats().restarts > 0);
    }
    let lengths: Vec<_> = expected.iter().map(Vec::len).collect();
    assert!(
        lengths.iter().any(|&length| length > 600),
        "some must outgrow a step: {lengths:?}"
    );
}

#[test]
fn rows_that_are_over_are_left_out_after_a_while() {
    let fixture = Fixture::new(Text::Fixed(vec![97; 300]), limits());
    fixture.control.permit(0);
    let (mut long, long_events) = job(200);
    long.may_speculate = false;
    fixture.submit(long).expect("room");
    let (short, short_events) = job(2);
    fixture.submit(short).expect("room");
    fixture.control.permit_all();
    wait_for(&short_events, "Length 2");
    wait_for(&long_events, "Length 200");
    let runs = fixture.control.runs();
    let wide = runs.iter().filter(|run| run.contains(',')).count();
    assert!((1..40).contains(&wide), "{wide} steps of two rows");
    assert!(!runs.last().expect("a run").contains(','));
}

#[test]
fn an_idle_model_holds_next_to_nothing() {
    let (fixture, _) = long_answers(with_budget(20_000), Joins::None);
    wait_until(
        || fixture.scheduler().stats().active == 0,
        || "still active".to_owned(),
    );
    assert!(fixture.scheduler().stats().kv_bytes <= 1024 * POSITION);
}

/// Three answers of 60 tokens, asked for at once, come to their ends.
fn three_answers(fixture: &Fixture) {
    fixture.control.permit(0);
    let all: Vec<_> = (0..3)
        .map(|_| {
            let (job, events) = job(60);
            fixture.submit(job).expect("room");
            events
        })
        .collect();
    fixture.control.permit_all();
    for events in &all {
        wait_for(events, "Length 60");
    }
}

#[test]
fn a_job_that_does_not_fit_beside_others_waits_for_them() {
    // Two of the smallest step, and not three.
    let fixture = Fixture::new(
        Text::Fixed(vec![97; 300]),
        Limits {
            kv_bytes: 2 * 512 * POSITION,
            prefix_cache_bytes: 0,
            ..limits()
        },
    );
    three_answers(&fixture);
    assert!(fixture.control.most_held() <= 2 * 512);
}
